//! Work whose time is over, or whose server has gone.
//!
//! A server cannot be told to stop one command of one client, so a command that takes too long costs the connection: what stands behind it in
//! the pipeline gets the same error, and nobody can say of any of them whether it was done.

use std::time::Duration;

use tokio::time::Instant;

use super::super::codec::push_error;
use super::super::failure;
use super::clocks::{Overdue, instant_of};
use super::{Ending, Flow, Session, Stays};
use crate::execution::ExecutionState;
use crate::telemetry::{ErrorClass, TimeoutKind};
use crate::worker::{Joined, has_expired};

/// How soon a context is looked at again that has expired, and whose WebSocket lives.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Session {
    /// Sets the timer for the next moment that is due.
    pub(super) fn wind(&mut self) {
        let next = self.next_due();
        self.timer.set(next.map(|(at, _)| at));
    }

    fn next_due(&self) -> Option<(Instant, Overdue)> {
        let exempt = self.is_exempt();
        let expiry = if exempt { self.expiry() } else { None };
        self.clocks.next(&self.force, exempt, expiry)
    }

    /// Whether no limit of a command's holds: it waits on purpose, or for what may come at any time.
    fn is_exempt(&self) -> bool {
        let listens = matches!(self.stays, Some(Stays::Subscriber | Stays::Monitor));
        self.pending.is_exempt() || (listens && self.pending.is_empty())
    }

    /// Until when the context allows to wait.
    fn expiry(&self) -> Option<Instant> {
        let at = self.context.as_ref()?.expires_at()?;
        let now = Instant::now();
        let expiry = instant_of(at, now);
        // While its WebSocket lives, so does it.
        if self.socket.as_ref().is_some_and(Joined::is_open) {
            return Some(expiry.max(now + LOOK_AGAIN));
        }
        Some(expiry)
    }

    /// The timer has fired.
    ///
    /// # Errors
    /// The session's end.
    pub(super) fn deadline_passed(&mut self) -> Result<Flow, Ending> {
        match self.next_due() {
            Some((at, overdue)) if at <= Instant::now() => match overdue {
                Overdue::Limit(kind) => self.limit_reached(kind),
                Overdue::Context if has_expired(self.context.as_ref(), self.socket.as_ref()) => {
                    Err(Ending::Told(failure::EXPIRED.to_owned()))
                }
                Overdue::Context => Ok(Flow::Continue),
            },
            _ => Ok(Flow::Continue),
        }
    }

    fn limit_reached(&mut self, kind: TimeoutKind) -> Result<Flow, Ending> {
        self.note_timeout(kind);
        self.work.end(ExecutionState::TimedOut);
        let why = failure::timeout_line(&self.force, kind);
        self.give_up_server(&format!("TIMEOUT {why}"), &why)
    }

    /// The server has gone, or cannot be understood.
    ///
    /// # Errors
    /// The session's end, where the connection stayed with its client.
    pub(super) fn server_lost(&mut self, why: &str) -> Result<Flow, Ending> {
        self.entry.metrics.error(ErrorClass::Connection);
        self.work.end(ExecutionState::Failed);
        let line = failure::lost_line(why);
        self.give_up_server(&line, why)
    }

    /// Closes the server connection. Every command that waits for an answer gets `line`, a transaction is over for `why`.
    ///
    /// # Errors
    /// The session's end: the client is inside a reply, or has lost what it had on the connection.
    pub(super) fn give_up_server(&mut self, line: &str, why: &str) -> Result<Flow, Ending> {
        let inside = self.is_inside_reply();
        if inside || self.stays.is_some() {
            return Err(Ending::Told(line.to_owned()));
        }
        drop(self.server.take());
        self.handle.badge.let_go();
        if let Some(passing) = &mut self.tail {
            passing.plan = None;
        }
        self.fail_pending(line);
        self.transaction.abort(why);
        self.clocks = super::Clocks::default();
        self.end_probe();
        // What the client has sent since may begin on another connection.
        self.client_bytes()
    }

    /// Whether the client has been given a part of a reply.
    pub(super) fn is_inside_reply(&self) -> bool {
        self.server.is_some() && self.reading.is_inside()
    }

    /// Tells the client why no reply comes, for each command that waits for one.
    pub(super) fn fail_pending(&mut self, line: &str) {
        if self.pending.is_empty() {
            return;
        }
        self.factory.activity.count_error();
        let mut bytes = Vec::new();
        push_error(&mut bytes, line);
        self.pending.fail(false, &bytes, self.outbox.writer());
        self.reading = super::Reading::default();
    }
}
