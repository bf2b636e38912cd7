//! What may take how long inside a session: `statement`, `transaction`, `idleInTransaction`.
//!
//! The sidecar's clock is authoritative, from the first byte forwarded to `ReadyForQuery`; the server's own settings stand
//! above it as a backstop. A batch whose every message has been answered, and that has not been ended by Sync, holds the server
//! connection as a transaction does: there the client's silence counts, and not the statement. A COPY is bounded by `transaction` alone: its length is the data's, not the server's fault.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::error_response::{ErrorResponse, SqlState};
use super::super::message::TransactionStatus;
use super::aborted::Local;
use super::overdue::Overdue;
use super::restore;
use super::{Ending, Flow, Session};
use crate::execution::ExecutionState;
use crate::force::DatabaseForce;
use crate::telemetry::TimeoutKind;
use crate::worker::mailbox::Canceller;

/// When things began.
#[derive(Debug, Default)]
pub struct Clocks {
    /// The statement whose answer is outstanding.
    pub statement: Option<Instant>,
    /// The transaction, from its first statement.
    pub transaction: Option<Instant>,
    /// The client's silence inside the transaction, or inside a batch.
    pub silence: Option<Instant>,
    /// Whether a COPY is under way.
    pub copying: bool,
    /// A timeout that has fired and whose end the server has not confirmed.
    pub overdue: Option<Overdue>,
    /// The words of a timeout whose statement has ended by itself: its cancel may still hit the next one.
    pub late: Option<Box<ErrorResponse>>,
    /// Whether the error that the server has raised last is one that a cancel makes.
    pub cancelled: bool,
}

impl Clocks {
    /// The next moment at which something is due, and what.
    #[must_use]
    pub fn next(&self, force: &DatabaseForce) -> Option<(Instant, TimeoutKind)> {
        if let Some(overdue) = &self.overdue {
            return Some((overdue.next(), overdue.kind));
        }
        let timeouts = &force.settings.timeouts;
        let due =
            |since: Option<Instant>, limit: Option<Duration>, kind| Some((since? + limit?, kind));
        let statement = self.statement.filter(|_| !self.copying);
        [
            due(statement, timeouts.statement, TimeoutKind::Statement),
            due(
                self.transaction,
                timeouts.transaction,
                TimeoutKind::Transaction,
            ),
            due(
                self.silence,
                timeouts.idle_in_transaction,
                TimeoutKind::IdleInTransaction,
            ),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// Whether a statement's time is over and the server has not come back.
    #[must_use]
    pub const fn is_overdue(&self) -> bool {
        self.overdue.is_some()
    }
}

impl Session {
    /// Sets the timer for the next moment that is due.
    pub(super) fn wind(&mut self) {
        let next = self.clocks.next(&self.force);
        self.timer.set(next.map(|(at, _)| at));
    }

    /// The timer has fired.
    pub(super) fn deadline_passed(&mut self) -> Result<Flow, Ending> {
        let Some((at, kind)) = self.clocks.next(&self.force) else {
            return Ok(Flow::Continue);
        };
        if at > Instant::now() {
            self.wind();
            return Ok(Flow::Continue);
        }
        if self.clocks.is_overdue() {
            return self.overdue_still();
        }
        self.entry.timed_out(kind, Some(&self.factory.key.owner));
        self.factory.activity.count_timeout();
        self.note_timeout(kind);
        self.work.end(ExecutionState::TimedOut);
        let error = Box::new(timeout_error(&self.force, kind));
        let running = self.clocks.statement.is_some();
        if running {
            self.stop_statement(kind, error);
        } else {
            self.abort_idle_transaction(*error);
        }
        self.wind();
        Ok(Flow::Continue)
    }

    /// The run that the work is for has reached a limit of the WebSocket's: what runs is cancelled, and a transaction whose client is silent is
    /// rolled back. The next transaction may begin: the application may want to write down what became of its run.
    pub(super) fn run_over(&mut self) {
        let Some(error) = self.run_over_error() else {
            return;
        };
        let open = self.server.as_ref().is_some_and(|owned| {
            let backend = &owned.server.backend;
            backend.status != TransactionStatus::Idle || !backend.replies.is_settled()
        });
        if self.clocks.is_overdue() || !(open || self.clocks.statement.is_some()) {
            return;
        }
        self.factory.activity.count_timeout();
        self.work.end(ExecutionState::TimedOut);
        if self.clocks.statement.is_some() {
            self.stop_statement(TimeoutKind::Statement, Box::new(error));
        } else {
            self.abort_idle_transaction(error);
        }
        self.wind();
    }

    /// What the client is told of it; none where it has been told already.
    pub(super) fn run_over_error(&self) -> Option<ErrorResponse> {
        let setting = self.socket.as_ref()?.take_run_over()?;
        let message = format!(
            "canceling the work of a run of the application's that has taken longer than {setting}"
        );
        let error = ErrorResponse::error(SqlState::QUERY_CANCELED, message);
        Some(error.with_hint("The next transaction may begin."))
    }

    /// Cancels the running statement. From here on its output is read whatever the client does.
    fn stop_statement(&mut self, kind: TimeoutKind, error: Box<ErrorResponse>) {
        self.clocks.overdue = Some(Overdue::new(kind, error, Instant::now()));
        self.cancel_statement();
    }

    /// Everything has been answered in the middle of a batch: from here on it is the client who takes its time.
    pub(super) fn note_silence(&mut self) {
        let answered = self.server.as_ref().is_some_and(|owned| {
            let backend = &owned.server.backend;
            self.rest.left == 0 && !backend.replies.client_waits()
        });
        if !answered || self.clocks.is_overdue() {
            return;
        }
        if let Some(began) = self.clocks.statement.take() {
            let now = Instant::now();
            self.clocks.silence = Some(now);
            let took = now.saturating_duration_since(began).as_secs_f64();
            self.entry.metrics.query_seconds.observe(took);
        }
    }

    /// The client is silent in a transaction, or in a batch: it is rolled back on the server, and the client learns at its next
    /// message, because an error to an idle client is not legal.
    fn abort_idle_transaction(&mut self, error: ErrorResponse) {
        let backend = self.server.as_ref().map(|owned| &owned.server.backend);
        self.local = backend.map_or_else(Local::default, |backend| {
            let open = backend.status != TransactionStatus::Idle;
            if backend.replies.is_settled() {
                Local::aborted(error)
            } else {
                Local::cut(error, open, backend.replies.is_skipping())
            }
        });
        self.roll_back();
    }

    /// Neither the end of the statement nor an error has come after the cancel: the client has had its time to read, or the
    /// server its time to come back, and then the server connection goes.
    fn overdue_still(&mut self) -> Result<Flow, Ending> {
        let rest = self.server.as_ref().map(|owned| owned.server.backend.rest);
        let standing = self.outbox.len();
        if let Some(overdue) = &mut self.clocks.overdue {
            let lost = overdue.lose_patience(standing, rest.unwrap_or_default());
            if lost.map_err(Ending::Fatal)? {
                self.wind();
                return Ok(Flow::Continue);
            }
        }
        let overdue = self.clocks.overdue.take();
        self.server_lost(overdue.and_then(Overdue::into_untold))
    }

    /// Whether the server may be read: only while the client takes what it says, but for a statement that must come to its end.
    pub(super) fn reads_server(&self) -> bool {
        let (Some(overdue), Some(owned)) = (&self.clocks.overdue, &self.server) else {
            return self.outbox.is_empty();
        };
        self.outbox.is_empty() || overdue.may_read(self.outbox.len(), owned.server.backend.rest)
    }

    /// The client has asked for its statement to be cancelled. A server whose output nobody reads hears of no cancel, so for a
    /// client that does not read, the rest of it is discarded; and one that never answers is not waited for.
    pub(super) fn cancel_on_request(&mut self) {
        let cancellers = self.handle.take_cancellers();
        self.clocks.late = None;
        if self.clocks.statement.is_some() && !self.clocks.is_overdue() {
            let error = ErrorResponse::error(
                SqlState::QUERY_CANCELED,
                "canceling statement due to user request",
            );
            let overdue = Overdue::requested(Box::new(error), Instant::now());
            self.clocks.overdue = Some(overdue);
            self.wind();
        }
        self.send_cancel(cancellers);
    }

    /// Sends a cancel request for what this session's server connection is running, if it is running anything.
    pub(super) fn cancel_statement(&mut self) {
        self.send_cancel(Vec::new());
    }

    /// The same for `cancellers`, who are let go when it has been dealt with.
    fn send_cancel(&mut self, cancellers: Vec<Canceller>) {
        let Some(owned) = &mut self.server else {
            return;
        };
        let server = &mut *owned.server;
        if server.backend.replies.is_copying_in() && self.rest.left == 0 {
            restore::fail_copy(server);
        }
        if let Some(target) = &server.backend.cancel
            && server.backend.replies.client_waits()
        {
            super::finish::send_cancel(
                &self.force,
                Arc::clone(target),
                server.cancels.begin(cancellers),
            );
        }
    }
}

/// What the client is told: which setting has fired, its value, and where that came from.
#[must_use]
pub fn timeout_error(force: &DatabaseForce, kind: TimeoutKind) -> ErrorResponse {
    let setting = force.name_timeout(kind);
    let (code, what) = match kind {
        TimeoutKind::Transaction => (
            SqlState::TRANSACTION_TIMEOUT,
            "the transaction took longer than",
        ),
        TimeoutKind::IdleInTransaction => (
            SqlState::IDLE_IN_TRANSACTION_TIMEOUT,
            "the client was silent inside a transaction for longer than",
        ),
        _ => (SqlState::QUERY_CANCELED, "the statement took longer than"),
    };
    ErrorResponse::error(code, format!("{what} {setting}"))
}

#[cfg(test)]
mod tests;
