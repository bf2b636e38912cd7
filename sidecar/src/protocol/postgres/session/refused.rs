//! Work that gets no server connection: why, in words for the client, and where that leaves it.

use super::super::codec;
use super::super::error_response::{ErrorResponse, SqlState};
use super::super::message::{self, Field, NoticeFields, TransactionStatus};
use super::Session;
use super::aborted::Local;
use crate::breaker::users::Attempt;
use crate::execution::ExecutionState;
use crate::factory::checkout::CheckoutError;
use crate::telemetry::{ErrorClass, TimeoutKind};
use crate::upstream::ConnectError;

impl Session {
    pub(super) fn refuse_waiting(&mut self, error: &ErrorResponse) {
        self.attempt = Attempt::default();
        self.work.end(match error.code {
            SqlState::QUERY_CANCELED => ExecutionState::Cancelled,
            SqlState::TOO_MANY_CONNECTIONS | SqlState::CANNOT_CONNECT_NOW => {
                ExecutionState::TimedOut
            }
            _ => ExecutionState::Failed,
        });
        self.refuse_work(error);
    }

    /// Answers the message that wanted a server with an error, and leaves the client where an error leaves it.
    pub(super) fn refuse_work(&mut self, error: &ErrorResponse) {
        let header = codec::peek(self.inbox.bytes()).ok().flatten();
        let Some(header) = header else {
            self.say(error);
            return;
        };
        self.discard(header);
        let simple = matches!(header.tag, b'Q' | b'F');
        if self.in_sql.is_some() {
            self.fail_locally(error, simple);
            return;
        }
        self.say(error);
        if simple {
            message::ready_for_query(TransactionStatus::Idle, self.outbox.writer());
        } else {
            self.local = Local::Skipping;
        }
    }

    pub(super) fn checkout_error(&self, error: &CheckoutError) -> Box<ErrorResponse> {
        let metrics = &self.entry.metrics;
        let code = match error {
            CheckoutError::Acquire { .. } => {
                self.count_acquire_timeout();
                SqlState::TOO_MANY_CONNECTIONS
            }
            CheckoutError::Paused { .. } => {
                self.count_acquire_timeout();
                let paused = ErrorResponse::error(SqlState::CANNOT_CONNECT_NOW, error.to_string());
                return Box::new(paused.with_hint("Nothing was begun. Try again."));
            }
            CheckoutError::Connect(ConnectError::Server { fields, .. }) => {
                metrics.error(ErrorClass::Connection);
                return Box::new(server_error(fields.body()));
            }
            CheckoutError::Connect(_) | CheckoutError::Broken(_) => {
                metrics.error(ErrorClass::Connection);
                SqlState::UNABLE_TO_CONNECT
            }
        };
        let mut message = error.to_string();
        if let CheckoutError::Connect(ConnectError::DeadlineExceeded { .. }) = error {
            let setting = self.force.name_timeout(TimeoutKind::Connect);
            message = format!("{message}: {setting}");
        }
        Box::new(ErrorResponse::error(code, message))
    }

    fn count_acquire_timeout(&self) {
        let owner = &self.factory.key.owner;
        self.entry.timed_out(TimeoutKind::Acquire, Some(owner));
        self.entry.metrics.error(ErrorClass::Timeout);
        self.factory.activity.count_timeout();
    }
}

/// The server's own error, passed on with its code and its words.
pub(super) fn server_error(body: &[u8]) -> ErrorResponse {
    let fields = NoticeFields::read(body).ok();
    let mut error = server_words(fields);
    for (field, slot) in [
        (Field::Detail, &mut error.detail),
        (Field::Hint, &mut error.hint),
    ] {
        let words = text_of(fields, field);
        if !words.is_empty() {
            *slot = Some(words.into());
        }
    }
    error
}

/// What the server has said, with its code, as an error of this session.
pub(super) fn server_words(fields: Option<NoticeFields<'_>>) -> ErrorResponse {
    let code = fields.and_then(|fields| fields.sqlstate().copied());
    let code = code.map_or(SqlState::CONNECTION_FAILURE, SqlState::new);
    let message = text_of(fields, Field::Message);
    ErrorResponse::error(code, format!("the server said: {message}"))
}

fn text_of(fields: Option<NoticeFields<'_>>, field: Field) -> String {
    let bytes = fields.and_then(|fields| fields.get(field));
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}
