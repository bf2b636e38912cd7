//! An error of the server's: what it says of the statement, of its user's work, and of the connection.

use super::super::error_response::SqlState;
use super::super::message::NoticeFields;
use super::{Ending, Session};
use crate::execution::ExecutionState;
use crate::telemetry::ErrorClass;

impl Session {
    /// Counts an error; a FATAL one is kept back, because the connection that it ends is not the client's.
    pub(super) fn note_error(&mut self, body: &[u8]) -> Result<(), Ending> {
        let Ok(fields) = NoticeFields::read(body) else {
            return Ok(());
        };
        let code = fields.sqlstate().map_or(&b""[..], |code| &code[..]);
        self.clocks.cancelled = code == SqlState::QUERY_CANCELED.bytes();
        self.entry.metrics.error(ErrorClass::of_sqlstate(code));
        self.factory.activity.count_error();
        // "cached plan must not change result type" has no state of its own.
        if code == SqlState::FEATURE_NOT_SUPPORTED.bytes() && self.is_use_next() {
            self.statements.retire();
        }
        self.note_failure(code);
        self.note_fail_over(code, fields.is_fatal());
        self.work.end(if self.clocks.cancelled {
            ExecutionState::Cancelled
        } else {
            ExecutionState::Failed
        });
        if fields.is_fatal() {
            if self.is_pinned() {
                return Err(Ending::ServerFatal(body.to_vec()));
            }
            self.lost_words = Some(body.into());
        }
        Ok(())
    }

    /// Whether the server's next answer is to the use of a statement.
    fn is_use_next(&self) -> bool {
        let server = self.server.as_ref();
        server.is_some_and(|owned| owned.server.backend.replies.is_use_next())
    }
}
