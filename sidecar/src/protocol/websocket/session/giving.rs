//! A session that survives its connection: what is kept goes out to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::resuming::Resuming;
use super::side::{Direction, Side};
use super::{Ending, Session};

/// What of the sidecar's own goes next.
enum Own {
    /// Control frames, its own and the application's.
    Frames,
    /// Messages of the protocol.
    Messages,
}

impl Session {
    /// Gives the client what is kept, and frames of our own between two messages. A client that takes nothing does not keep the application
    /// from being read, as long as there is room.
    pub(super) fn poll_write_kept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        let mut told = false;
        let written = loop {
            let client = &mut self.client;
            let Some(resuming) = &mut self.resuming else {
                break Poll::Ready(Ok(()));
            };
            if client.ended || client.deaf {
                client.own.discard();
                resuming.says.discard();
                break Poll::Ready(Ok(()));
            }
            // Nothing goes behind a Close frame.
            if client.told && client.own.is_empty() {
                break Poll::Ready(Ok(()));
            }
            let at_boundary = self.application.walker.at_boundary();
            let flushed = match resuming.next_own(client, at_boundary) {
                Some(Own::Frames) => {
                    let flushed = client.own.poll_flush(&mut client.stream, cx);
                    told |= flushed.is_ready();
                    Some(flushed)
                }
                Some(Own::Messages) => Some(resuming.says.poll_flush(&mut client.stream, cx)),
                None => None,
            };
            match flushed {
                Some(Poll::Ready(Ok(()))) => {
                    self.clocks.stalled = None;
                    continue;
                }
                Some(other) => break other,
                None => {}
            }
            let waits = !client.own.is_empty() || !resuming.says.is_empty();
            let unsent = if waits {
                resuming.kept.unsent_to_gap()
            } else {
                resuming.kept.unsent()
            };
            if unsent.is_empty() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut client.stream).poll_write(cx, unsent) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.clocks.stalled = None;
                    self.sent(count);
                }
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if told {
            self.told_client();
        }
        match written {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(self.receiver_lost(Direction::Down)),
            Poll::Pending => {
                self.clocks.stalled.get_or_insert_with(Instant::now);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The client has been given bytes of what is kept.
    fn sent(&mut self, count: usize) {
        self.with_kept(|resuming, delivered| {
            resuming.kept.wrote(count);
            resuming.kept.trim_sent(delivered);
        });
    }
}

impl Resuming {
    /// What of the sidecar's own can go now. `at_boundary` is whether all that the application has sent of a message ends with a frame.
    fn next_own(&self, client: &Side, at_boundary: bool) -> Option<Own> {
        if client.own.is_begun() {
            return Some(Own::Frames);
        }
        let between_messages = self.kept.is_between_messages();
        if self.says.is_begun() || (between_messages && !self.says.is_empty()) {
            return Some(Own::Messages);
        }
        let has_sent_all = self.kept.unsent().is_empty();
        // What is not kept goes frame by frame: its message may take for ever, and control frames may stand between two of its fragments.
        let is_gap = between_messages || (self.kept.lets_go() && has_sent_all && at_boundary);
        // Before a Close frame, what is kept goes as well.
        let goes = is_gap && (!client.told || has_sent_all);
        (goes && !client.own.is_empty()).then_some(Own::Frames)
    }
}
