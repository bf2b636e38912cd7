//! What the sidecar answers by itself: for a transaction that it has ended and whose client has not noticed, and for the
//! rest of a batch whose beginning failed before it reached a server.

use super::super::codec::{FrontendTag, Header};
use super::super::error_response::{ErrorResponse, SqlState};
use super::super::message::{self, CommandComplete, Parse, Query, TransactionStatus};
use super::super::statement_text::{self, TransactionControl};
use super::clocks::Clocks;
use super::{Session, finish};
use crate::factory::server::Owned;

/// Whether the client talks to a server or to the sidecar.
#[derive(Debug, Default)]
pub enum Local {
    /// To a server.
    #[default]
    Normal,
    /// A batch has failed before it reached a server: everything up to `Sync` is passed over. The state after it.
    Skipping,
    /// Its transaction is over on the server, and the client must end it too.
    Aborted(Box<Aborted>),
    /// A batch that was open has been ended while its client was silent: with the next message it is told why.
    Cut(Box<Cut>),
}

/// A batch that has been ended on the server.
#[derive(Debug)]
pub struct Cut {
    /// Why.
    error: ErrorResponse,
    /// Whether it was inside of a transaction that the client must end.
    open: bool,
}

/// A transaction that is over on the server.
#[derive(Debug)]
pub struct Aborted {
    /// Why.
    error: ErrorResponse,
    /// Whether the client is told PostgreSQL's own words for a failed transaction instead: it has had the reason.
    brief: bool,
    /// Whether everything up to `Sync` is passed over.
    skipping: bool,
    /// Whether the unnamed statement is one that ends the transaction.
    ends: bool,
}

impl Local {
    /// The state of a client whose transaction has been ended for this reason.
    #[must_use]
    pub fn aborted(error: ErrorResponse) -> Self {
        Self::Aborted(Box::new(Aborted {
            error,
            brief: false,
            skipping: false,
            ends: false,
        }))
    }

    /// The state of a client whose transaction was lost with its server, and who has been told.
    #[must_use]
    pub fn lost(error: ErrorResponse, skipping: bool) -> Self {
        Self::Aborted(Box::new(Aborted {
            error,
            brief: true,
            skipping,
            ends: false,
        }))
    }

    /// The state of a client whose batch has been ended for this reason, inside of an `open` transaction or not. `failed`: the
    /// batch had failed before, and the client has been told that.
    #[must_use]
    pub fn cut(error: ErrorResponse, open: bool, failed: bool) -> Self {
        match (open, failed) {
            (_, false) => Self::Cut(Box::new(Cut { error, open })),
            (true, true) => Self::skipping(error),
            (false, true) => Self::Skipping,
        }
    }

    fn skipping(error: ErrorResponse) -> Self {
        Self::Aborted(Box::new(Aborted {
            error,
            brief: false,
            skipping: true,
            ends: false,
        }))
    }

    /// Whether the client talks to a server.
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self, Self::Normal)
    }
}

impl Session {
    /// Answers one whole message, or asks for the rest of it. Big messages are passed over in pieces.
    pub(super) fn answer_locally(&mut self, tag: FrontendTag, header: Header) {
        let body = self.take_body(header);
        match std::mem::take(&mut self.local) {
            Local::Normal => {}
            Local::Skipping => self.local = self.skip_to_sync(tag),
            Local::Aborted(aborted) => self.local = self.answer_aborted(tag, &body, aborted),
            Local::Cut(cut) => self.local = self.answer_cut(tag, *cut),
        }
    }

    fn answer_cut(&mut self, tag: FrontendTag, cut: Cut) -> Local {
        use FrontendTag as T;
        if matches!(tag, T::Flush | T::CopyData | T::CopyDone | T::CopyFail) {
            return Local::Cut(Box::new(cut));
        }
        self.say(&cut.error);
        if !matches!(tag, T::Sync | T::Query | T::FunctionCall) {
            return Local::cut(cut.error, cut.open, true);
        }
        if cut.open {
            message::ready_for_query(TransactionStatus::Failed, self.outbox.writer());
            return Local::aborted(cut.error);
        }
        message::ready_for_query(TransactionStatus::Idle, self.outbox.writer());
        Local::Normal
    }

    fn skip_to_sync(&mut self, tag: FrontendTag) -> Local {
        if tag != FrontendTag::Sync {
            return Local::Skipping;
        }
        message::ready_for_query(TransactionStatus::Idle, self.outbox.writer());
        Local::Normal
    }

    fn answer_aborted(&mut self, tag: FrontendTag, body: &[u8], mut state: Box<Aborted>) -> Local {
        if state.skipping && tag != FrontendTag::Sync {
            return Local::Aborted(state);
        }
        match tag {
            FrontendTag::Query => {
                let text = Query::read(body).map(|query| query.text);
                if text.is_ok_and(ends_transaction) {
                    self.end_aborted(true);
                    return Local::Normal;
                }
                self.refuse_aborted(&state);
                message::ready_for_query(TransactionStatus::Failed, self.outbox.writer());
            }
            FrontendTag::Parse => {
                state.ends = Parse::read(body).is_ok_and(|parse| ends_transaction(parse.query));
                if state.ends {
                    message::parse_complete(self.outbox.writer());
                } else {
                    self.refuse_aborted(&state);
                    state.skipping = true;
                }
            }
            FrontendTag::Bind if state.ends || self.binds_ending(body) => {
                state.ends = true;
                message::bind_complete(self.outbox.writer());
            }
            FrontendTag::Describe if state.ends => message::no_data(self.outbox.writer()),
            FrontendTag::Execute if state.ends => {
                self.end_aborted(false);
                return Local::Normal;
            }
            FrontendTag::Close => message::close_complete(self.outbox.writer()),
            FrontendTag::Bind | FrontendTag::Describe | FrontendTag::Execute => {
                self.refuse_aborted(&state);
                state.skipping = true;
            }
            FrontendTag::FunctionCall => {
                self.refuse_aborted(&state);
                message::ready_for_query(TransactionStatus::Failed, self.outbox.writer());
            }
            FrontendTag::Sync => {
                state.skipping = false;
                message::ready_for_query(TransactionStatus::Failed, self.outbox.writer());
            }
            _ => {}
        }
        Local::Aborted(state)
    }

    /// Whether a Bind names a statement of this client's that ends the transaction.
    fn binds_ending(&self, body: &[u8]) -> bool {
        let names = message::BindNames::read(body).ok().flatten();
        let statement = names.and_then(|names| self.statements.get(names.statement));
        statement.is_some_and(|statement| ends_transaction(statement.text()))
    }

    /// The client has ended its transaction: whether it said COMMIT or ROLLBACK, it is rolled back.
    fn end_aborted(&mut self, ready: bool) {
        CommandComplete { tag: b"ROLLBACK" }.write(self.outbox.writer());
        if ready {
            message::ready_for_query(TransactionStatus::Idle, self.outbox.writer());
        }
        self.leave_unconfirmed_server();
        if self.server.is_none() {
            self.transaction_is_over(true);
        }
    }

    /// The server has not confirmed the rollback yet, and may never: what the client does next is not tied to that.
    fn leave_unconfirmed_server(&mut self) {
        if self.is_pinned() {
            return;
        }
        let unconfirmed = |owned: &mut Owned| owned.server.backend.replies.is_outstanding();
        if let Some(owned) = self.server.take_if(unconfirmed) {
            self.clocks = Clocks::default();
            finish::send_home(self.home(), owned, false, false);
        }
    }

    /// The reason, until the client ends the transaction.
    fn refuse_aborted(&mut self, state: &Aborted) {
        if state.brief {
            let error = ErrorResponse::error(
                SqlState::IN_FAILED_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            )
            .with_detail(state.error.message.clone());
            self.say(&error);
        } else {
            let error = state.error.clone();
            self.say(&error);
        }
    }
}

/// Whether a text ends the whole transaction; `ROLLBACK TO` does not.
fn ends_transaction(text: &[u8]) -> bool {
    matches!(
        statement_text::transaction_control(text),
        Some(TransactionControl::Commit | TransactionControl::Rollback)
    )
}
