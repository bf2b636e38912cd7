//! What the client hears while no server knows of its transaction: errors at their place, and the end of a batch.

use super::super::super::codec::Header;
use super::super::super::error_response::ErrorResponse;
use super::super::super::message::{self, TransactionStatus};
use super::super::Session;
use super::super::aborted::Local;
use super::super::client::Step;

impl Session {
    /// Answers a message with an error: at its place in the pipeline where a server is at work, else at once.
    pub(in super::super) fn complain(
        &mut self,
        header: Header,
        error: ErrorResponse,
        simple: bool,
    ) -> Step {
        if self.is_free() {
            self.discard(header);
            self.fail_locally(&error, simple);
            return Step::Done;
        }
        self.refuse(header, error);
        if simple && let Some(server) = self.server_mut() {
            message::sync(server.outbox.writer());
            server.backend.replies.push_sync();
            self.hold.until_answered();
        }
        Step::Done
    }

    /// An error of the sidecar's own, with no server at work: a transaction that has begun here has failed, and a batch is passed over.
    pub(in super::super) fn fail_locally(&mut self, error: &ErrorResponse, simple: bool) {
        self.say(error);
        let open = self.in_sql.as_deref_mut().is_some_and(|in_sql| {
            in_sql.portals.clear();
            in_sql.begun.take().is_some()
        });
        if simple {
            let status = if open {
                TransactionStatus::Failed
            } else {
                TransactionStatus::Idle
            };
            message::ready_for_query(status, self.outbox.writer());
        }
        self.local = match (open, simple) {
            (true, simple) => Local::lost(error.clone(), !simple),
            (false, false) => Local::Skipping,
            (false, true) => Local::Normal,
        };
    }

    pub(super) fn sync_locally(&mut self) {
        let status = self.local_status();
        if let Some(in_sql) = self.in_sql.as_deref_mut()
            && in_sql.begun.is_none()
        {
            in_sql.portals.clear();
        }
        message::ready_for_query(status, self.outbox.writer());
    }

    /// What the client believes of its transaction, while no server knows of it.
    pub(super) fn local_status(&self) -> TransactionStatus {
        let in_sql = self.in_sql.as_deref();
        if in_sql.is_some_and(|in_sql| in_sql.begun.is_some()) {
            TransactionStatus::InTransaction
        } else {
            TransactionStatus::Idle
        }
    }
}
