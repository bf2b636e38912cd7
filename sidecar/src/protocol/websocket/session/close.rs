//! How a socket ends: who began it, with which code, and what both sides are told.

use std::task::{Context, Waker};

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::super::codec::{Close, write_close, write_masked_close};
use super::clocks::CLOSE_LIMIT;
use super::{Direction, Session};
use crate::telemetry::Initiator;

/// How a socket has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The close code, 1006 where there was no Close frame (RFC 6455, section 7.1.5).
    pub code: u16,
    /// Who began it.
    pub initiator: Initiator,
}

impl Ending {
    /// The client takes nothing.
    pub(super) const STALLED: Self = Self {
        code: Close::TRY_AGAIN_LATER,
        initiator: Initiator::Sidecar,
    };
}

/// How long the last bytes may take to leave.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

impl Session {
    /// Ends the socket with a code and a reason; what both sides have begun is finished first. Once only.
    pub(super) fn close(&mut self, code: u16, reason: &str, initiator: Initiator) {
        // To the application the client is what has gone away.
        self.close_with(code, Close::GOING_AWAY, reason, initiator);
    }

    /// The same with another code for the application.
    pub(super) fn close_with(
        &mut self,
        code: u16,
        application: u16,
        reason: &str,
        initiator: Initiator,
    ) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some(Ending { code, initiator });
        self.clocks.closes = Some(Instant::now() + CLOSE_LIMIT);
        if !self.client.told {
            if !self.client.ended {
                write_close(self.client.own.writer(), code, reason);
            }
            self.client.told = true;
        }
        if !self.application.told {
            let mask = self.worker.jitter.number();
            write_masked_close(self.application.own.writer(), application, reason, mask);
            self.application.told = true;
        }
    }

    /// Whether everything has been said.
    pub(super) fn ended(&self) -> Option<Ending> {
        let silent = |side: &super::Side| side.closed.is_some() || side.ended;
        if let Some(ending) = self.closing {
            if self.client.severed {
                let application = &self.application;
                let heard = application.own.is_empty() || application.ended || application.deaf;
                return (self.application.cleared == 0 && heard).then_some(ending);
            }
            return (self.client.own.is_empty() && silent(&self.client)).then_some(ending);
        }
        let (client, application) = (self.client.closed?, self.application.closed?);
        let said = self.client.cleared == 0
            && self.application.cleared == 0
            && (self.resuming.is_none() || self.client.own.is_empty());
        let first = self.closed_first.unwrap_or(Direction::Up);
        let code = match first {
            Direction::Up => client,
            Direction::Down => application,
        };
        said.then_some(Ending {
            code,
            initiator: first.sender(),
        })
    }

    /// The end of a stream. Without a Close frame the other side learns of it as it would without a sidecar, but that a client hears why
    /// the application is gone.
    pub(super) fn stream_ended(&mut self, direction: Direction) -> Result<(), Ending> {
        let gone = Ending {
            code: Close::ABNORMAL,
            initiator: direction.sender(),
        };
        match direction {
            Direction::Up if self.survives() => {
                self.go_away();
                Ok(())
            }
            Direction::Up if self.closing.is_none() && self.client.closed.is_none() => Err(gone),
            Direction::Up => Ok(()),
            Direction::Down if self.application.closed.is_some() => Ok(()),
            Direction::Down if self.client.closed.is_some() => Err(Ending {
                code: self.client.closed.unwrap_or(Close::ABNORMAL),
                initiator: Initiator::Client,
            }),
            // Half a frame has gone to the client: nothing can be said behind it.
            Direction::Down if self.is_mid_frame() => Err(gone),
            Direction::Down => {
                let reason = "the application has ended without a Close frame";
                self.close(Close::BAD_GATEWAY, reason, Initiator::Application);
                Ok(())
            }
        }
    }

    /// Whether the client has been given a part of what the application has not ended.
    fn is_mid_frame(&mut self) -> bool {
        let Some(resuming) = &mut self.resuming else {
            return !self.application.walker.at_boundary();
        };
        if !resuming.kept.is_mid_stream() {
            resuming.kept.drop_partial();
        }
        resuming.kept.is_mid_stream()
    }

    /// The receiver takes nothing any more.
    pub(super) fn receiver_lost(&mut self, direction: Direction) -> Result<(), Ending> {
        match direction {
            // It may have said why before it went: that is still to be read.
            Direction::Up => {
                self.application.deaf = true;
                Ok(())
            }
            Direction::Down if self.survives() => {
                self.go_away();
                Ok(())
            }
            Direction::Down => Err(self.closing.unwrap_or(Ending {
                code: Close::ABNORMAL,
                initiator: Initiator::Client,
            })),
        }
    }

    /// Ends the socket where it stands: the grace period is over.
    pub(super) fn cut_off(&mut self) -> Ending {
        let reason = "the sidecar is shutting down; connect again";
        self.close(Close::SERVICE_RESTART, reason, Initiator::Sidecar);
        // What the kernel does not take at once is lost.
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.poll_pump(Direction::Down, &mut cx);
        let _ = self.poll_pump(Direction::Up, &mut cx);
        self.closing.unwrap_or(Ending {
            code: Close::ABNORMAL,
            initiator: Initiator::Sidecar,
        })
    }

    /// Gives back what the socket had, and ends both streams.
    pub(super) async fn finish(mut self, ending: Ending) {
        self.lose_events();
        self.end_resuming(ending);
        self.end_runs(ending);
        self.entry.metrics.closed(ending.code, ending.initiator);
        // Before the count says that nobody is there, so that no quiet is told that never was.
        self.entry.metrics.clients.seen();
        self.entry.metrics.clients.connections.dec();
        self.user.leave(&self.handle);
        self.user.hold(self.held, 0);
        self.worker.leave_session(self.slot);
        if let Some(id) = &self.id {
            let on_disconnect = self.entry.force_now().policy.isolation.on_disconnect;
            self.worker.close_socket(id, on_disconnect);
        }
        if let Some(user) = &self.user_id {
            self.entry.release(user);
            self.worker.leave_user(user);
        }
        let farewell = async {
            // Whoever has gone meanwhile does not need the end of the stream.
            let _ = self.application.stream.shutdown().await;
            let _ = self.client.stream.shutdown().await;
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}
