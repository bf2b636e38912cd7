//! What the client sends: read in place, forwarded as it comes. Nothing here waits.

use std::rc::Rc;

use tokio::time::Instant;

use super::super::codec::{self, FrontendTag, HEADER_LENGTH, Header};
use super::super::error_response::{ErrorResponse, SqlState};
use super::super::isolate;
use super::super::message::{self, CommandComplete, Target, TargetKind, TransactionStatus};
use super::super::statement_text::{self, Traits};
use super::replies::{Answer, Expect, Forgotten};
use super::statements::Statement;
use super::{Ending, Flow, Session};
use crate::relay::BUFFER_BYTES;

/// What handling one message leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has been dealt with.
    Done,
    /// More of it must come first.
    Wait,
    /// It needs a server connection first.
    Attach,
    /// It names a user, who must be verified first.
    Switch,
}

/// The name of a statement that no server has: describing it is sure to fail, at the right place of a pipeline.
const NO_STATEMENT: &[u8] = b"bulkhead: no such statement";

impl Session {
    /// Deals with everything that has arrived, as far as it can.
    pub(super) fn client_bytes(&mut self) -> Result<Flow, Ending> {
        loop {
            self.stream_rest();
            let Some(header) = codec::peek(self.inbox.bytes())? else {
                break;
            };
            if self.must_hold() {
                break;
            }
            let tag = header.frontend()?;
            if tag == FrontendTag::Terminate {
                if !self.work_goes_on() {
                    return Err(Ending::ClientGone);
                }
                self.hold.until_work_ends();
                break;
            }
            let enough = header.message_length().min(BUFFER_BYTES);
            if self.rest.left > 0 || self.inbox.len() < enough {
                self.inbox.reserve(enough);
                break;
            }
            let step = if !self.local.is_normal() {
                self.answer_locally(tag, header);
                Step::Done
            } else if let Some(step) = self.refuse_fixed(tag, header) {
                step
            } else if self.in_sql.is_some() {
                self.in_sql_message(tag, header)?
            } else {
                self.client_message(tag, header)?
            };
            match step {
                Step::Done => {}
                Step::Wait => break,
                Step::Attach => return Ok(Flow::Attach),
                Step::Switch => return Ok(Flow::Switch),
            }
        }
        self.emit_answers();
        self.note_silence();
        self.wind();
        Ok(Flow::Continue)
    }

    pub(super) fn client_message(
        &mut self,
        tag: FrontendTag,
        header: Header,
    ) -> Result<Step, Ending> {
        use FrontendTag as T;
        if tag == T::Authentication {
            return Err(Ending::fatal(
                SqlState::PROTOCOL_VIOLATION,
                "unexpected authentication message: the login is over",
            ));
        }
        let Some(owned) = &self.server else {
            return Ok(self.without_server(tag, header));
        };
        // A connection that has just been checked out was judged there.
        if begins_work(tag) && self.is_pinned() && owned.server.backend.is_idle() {
            if self.entry.steering.is_paused() {
                return Ok(Step::Attach);
            }
            if let Err(error) = self.begin_on_held_server() {
                self.refuse_work(&error);
                return Ok(Step::Done);
            }
            if self.held_lacks_tenure() {
                return Ok(Step::Attach);
            }
        }
        let Some(owned) = &self.server else {
            return Ok(Step::Attach);
        };
        if owned.server.backend.replies.is_skipping() && tag != T::Sync {
            self.discard(header);
            return Ok(Step::Done);
        }
        match tag {
            T::Query => self.query(header),
            T::Parse => return self.parse(header),
            T::Bind => return self.bind(header),
            T::Describe => return self.describe(header),
            T::Close => return self.close(header),
            T::Execute => self.execute(header),
            T::Sync | T::Flush if owned.server.backend.replies.is_copying_in() => {
                self.discard(header);
                if tag == T::Sync
                    && let Some(server) = self.server_mut()
                {
                    server.backend.replies.withhold_sync();
                }
            }
            T::Sync => {
                if let Some(server) = self.server_mut() {
                    server.backend.replies.push_sync();
                }
                self.begin_statement();
                self.forward(header);
            }
            T::FunctionCall => {
                self.count_call();
                self.expect_and_forward(Expect::FunctionCall, header);
            }
            T::CopyDone | T::CopyFail => {
                if let Some(server) = self.server_mut() {
                    server.backend.replies.push_copy_end();
                }
                self.forward(header);
            }
            T::CopyData | T::Flush => self.forward(header),
            T::Terminate | T::Authentication => {}
        }
        Ok(Step::Done)
    }

    /// Whether the server is at work on what the client has sent whole.
    fn work_goes_on(&self) -> bool {
        let server = self.server.as_ref();
        server.is_some_and(|owned| owned.server.backend.replies.owes_an_end())
    }

    /// Between transactions: what needs no server is answered, what belongs to a COPY that is over is passed over, and the
    /// rest asks for a server.
    fn without_server(&mut self, tag: FrontendTag, header: Header) -> Step {
        match tag {
            FrontendTag::Sync => {
                message::ready_for_query(TransactionStatus::Idle, self.outbox.writer());
            }
            FrontendTag::Flush
            | FrontendTag::CopyData
            | FrontendTag::CopyDone
            | FrontendTag::CopyFail => {}
            FrontendTag::Close if self.closes_statement(header) => {
                message::close_complete(self.outbox.writer());
            }
            FrontendTag::Query if self.deallocate(header).is_some() => {
                self.answer_deallocated(TransactionStatus::Idle);
            }
            _ => return Step::Attach,
        }
        self.discard(header);
        Step::Done
    }

    fn query(&mut self, header: Header) {
        if !self.is_failed()
            && let Some(gone) = self.deallocate(header)
        {
            self.discard(header);
            self.expect(Expect::Answer(Answer::Deallocated(Some(gone))));
            return;
        }
        self.count_query(header);
        let text = self.query_text(header);
        let traits = statement_text::classify(text);
        let remembered = isolate::may_change(traits).then(|| self.worker.interner.once(text));
        self.note_traits(traits, remembered.as_deref());
        self.statements.set_unnamed(None);
        if let Some(owned) = &mut self.server {
            owned.server.backend.statements.set_unnamed(None);
        }
        self.expect_and_forward(Expect::Query(remembered), header);
        if self.renames() && drops_statements(traits) {
            self.hold.until_answered();
        }
    }

    /// The text of a Query, as far as it has arrived: a text longer than a buffer is judged by its beginning.
    pub(super) fn query_text(&self, header: Header) -> &[u8] {
        let end = header.message_length().min(self.inbox.len());
        let text = self
            .inbox
            .bytes()
            .get(HEADER_LENGTH..end)
            .unwrap_or_default();
        text.strip_suffix(&[0]).unwrap_or(text)
    }

    /// Forgets the statement of this client's that a Query deallocates, if it does. Its name on the server is ours, so the
    /// server could not.
    fn deallocate(&mut self, header: Header) -> Option<Forgotten> {
        if !self.renames() {
            return None;
        }
        let name = statement_text::deallocated_name(self.query_text(header))?;
        self.statements.remove(&name)
    }

    fn closes_statement(&mut self, header: Header) -> bool {
        let body = self
            .inbox
            .bytes()
            .get(HEADER_LENGTH..header.message_length());
        let Some(Ok(target)) = body.map(Target::read) else {
            return false;
        };
        let closes = self.renames() && target.kind == TargetKind::Statement;
        if closes {
            let name: Rc<[u8]> = target.name.into();
            self.statements.remove(&name);
        }
        closes
    }

    /// Writes the answer to a DEALLOCATE that the sidecar has carried out.
    pub(super) fn answer_deallocated(&mut self, status: TransactionStatus) {
        CommandComplete { tag: b"DEALLOCATE" }.write(self.outbox.writer());
        message::ready_for_query(status, self.outbox.writer());
    }

    /// Puts an error of the sidecar's in the place of a message: at its place in the pipeline, and with everything that the
    /// server does after an error.
    pub(super) fn refuse(&mut self, header: Header, error: ErrorResponse) {
        self.discard(header);
        let Some(owned) = &mut self.server else {
            return;
        };
        let target = Target {
            kind: TargetKind::Statement,
            name: NO_STATEMENT,
        };
        target.write_describe(owned.server.outbox.writer());
        owned
            .server
            .backend
            .replies
            .push(Expect::Refusal(Box::new(error)));
    }

    /// Notes what a text does to the session: state that must survive pins the server connection to this client.
    pub(super) fn note_traits(&mut self, traits: Traits, remembered: Option<&Statement>) {
        let effect = isolate::effect(
            traits,
            remembered.is_some_and(|known| known.change.is_some()),
        );
        self.pinned |= effect.pins;
        self.parameters_pinned |= effect.pins_parameters;
        if effect.unsettles
            && let Some(owned) = &mut self.server
        {
            owned.server.backend.now = None;
        }
    }

    pub(super) fn expect_and_forward(&mut self, expect: Expect, header: Header) {
        self.expect(expect);
        self.begin_statement();
        self.forward(header);
    }

    /// The clock of a statement begins with the first byte that is forwarded.
    pub(super) fn begin_statement(&mut self) {
        if self.clocks.statement.is_none() {
            let now = Instant::now();
            self.clocks.statement = Some(now);
            self.clocks.silence = None;
            self.clocks.late.take_if(|_| {
                let owned = self.server.as_ref();
                owned.is_none_or(|owned| owned.server.cancels.is_empty())
            });
            self.clocks.transaction.get_or_insert(now);
        }
    }

    /// Forwards a message: what has arrived now, the rest as it comes.
    pub(super) fn forward(&mut self, header: Header) {
        self.rest.left = header.message_length();
        self.rest.forward = true;
        self.stream_rest();
    }

    /// Passes a message over: what has arrived now, the rest as it comes.
    pub(super) fn discard(&mut self, header: Header) {
        self.rest.left = header.message_length();
        self.rest.forward = false;
        self.stream_rest();
    }

    /// Takes the body of a message out; of one longer than a buffer only the beginning, and the rest is passed over.
    pub(super) fn take_body(&mut self, header: Header) -> Vec<u8> {
        let end = header.message_length().min(self.inbox.len());
        let body = self
            .inbox
            .bytes()
            .get(HEADER_LENGTH..end)
            .unwrap_or_default();
        let body = body.to_vec();
        self.discard(header);
        body
    }

    pub(super) fn stream_rest(&mut self) {
        let count = self.rest.left.min(self.inbox.len());
        if count == 0 {
            return;
        }
        if self.rest.forward
            && let Some(owned) = &mut self.server
        {
            owned.server.outbox.push(&self.inbox.bytes()[..count]);
            owned.server.note_sent(count);
        }
        self.inbox.consume(count);
        self.rest.left -= count;
    }

    fn is_failed(&self) -> bool {
        let status = self
            .server
            .as_ref()
            .map(|owned| owned.server.backend.status);
        status == Some(TransactionStatus::Failed)
    }
}

/// Whether a text may drop statements of the server's, and of whose client.
pub(super) const fn drops_statements(traits: Traits) -> bool {
    traits.deallocates() || traits.discards()
}

/// Whether a message begins a transaction, where none is open.
const fn begins_work(tag: FrontendTag) -> bool {
    use FrontendTag as T;
    matches!(
        tag,
        T::Query | T::Parse | T::Bind | T::Describe | T::Execute | T::FunctionCall
    )
}
