//! A server connection that has gone in the middle: what the client is told, and how it goes on.
//!
//! The client's connection survives where the protocol allows it: every answer that it is owed becomes an error, and an open
//! transaction is one that has failed. It ends where a message was cut off half-way, or where the server connection was the
//! client's own.

use super::super::error_response::{ErrorResponse, Severity, SqlState};
use super::super::message::{self, NoticeFields, TransactionStatus};
use super::aborted::Local;
use super::refused;
use super::{Ending, Flow, Session};
use crate::breaker::users::Attempt;
use crate::execution::ExecutionState;
use crate::telemetry::ErrorClass;

impl Session {
    /// The server connection is of no use any more: it said goodbye, broke, broke the protocol, or never came back from a
    /// cancel (`error` then says why).
    pub(super) fn server_lost(
        &mut self,
        error: Option<Box<ErrorResponse>>,
    ) -> Result<Flow, Ending> {
        let Some(mut owned) = self.server.take() else {
            return Ok(Flow::Continue);
        };
        self.handle.badge.let_go();
        self.work.end(ExecutionState::Dead);
        self.attempt = Attempt::default();
        self.clocks = super::clocks::Clocks::default();
        self.wind();
        let words = self.lost_words.take();
        let error = error.map_or_else(|| self.loss_error(words.as_deref()), |error| *error);
        self.entry.metrics.error(ErrorClass::Connection);
        let backend = &mut owned.server.backend;
        if backend.rest.left > 0 && backend.rest.forward {
            return Err(Ending::CutOff);
        }
        if self.is_pinned() {
            return Err(Ending::Fatal(Box::new(ErrorResponse {
                severity: Severity::Fatal,
                ..error
            })));
        }
        let (owed, more) = backend.replies.abandoned();
        let open = backend.status != TransactionStatus::Idle;
        if self.rest.left > 0 {
            self.rest.forward = false;
        }
        if !self.local.is_normal() {
            return Ok(Flow::Continue);
        }
        self.answer_lost(&error, owed, more, open);
        self.transaction_is_over(true);
        self.hold.until_taken();
        Ok(Flow::Continue)
    }

    fn answer_lost(&mut self, error: &ErrorResponse, owed: usize, more: bool, open: bool) {
        let after = if open {
            TransactionStatus::Failed
        } else {
            TransactionStatus::Idle
        };
        for _ in 0..owed {
            self.say(error);
            message::ready_for_query(after, self.outbox.writer());
        }
        if more {
            self.say(error);
        }
        self.local = match (open, more) {
            (true, skipping) if owed > 0 || more => Local::lost(error.clone(), skipping),
            (true, _) => Local::aborted(error.clone()),
            (false, true) => Local::Skipping,
            (false, false) => Local::Normal,
        };
    }

    /// What the client is told: the server's own last words if it had any, as an error instead of a FATAL.
    fn loss_error(&self, words: Option<&[u8]>) -> ErrorResponse {
        let fields = words.and_then(|body| NoticeFields::read(body).ok());
        if fields.is_none() {
            return ErrorResponse::error(
                SqlState::CONNECTION_FAILURE,
                format!(
                    "the connection to databases[{}].upstream was lost while a statement was running",
                    self.force.name
                ),
            )
            .with_hint("Whether the statement took effect is not known. Try the transaction again.");
        }
        refused::server_words(fields)
            .with_hint("The transaction was lost with the server connection. Try it again.")
    }
}
