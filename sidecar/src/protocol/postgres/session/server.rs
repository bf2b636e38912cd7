//! What the server answers: held against what is expected, and given to the client as it comes. Nothing here waits.

use tokio::time::Instant;

use super::super::codec::{self, BackendTag, HEADER_LENGTH, Header};
use super::super::error_response::SqlState;
use super::super::message::{self, CommandComplete, NoticeFields, TransactionStatus};
use super::aborted::Local;
use super::backend::Rest;
use super::clocks::Overdue;
use super::replies::{Answer, Expect, Step};
use super::restore::RESTORE_LIMIT;
use super::{Ending, Flow, Session};
use crate::execution::ExecutionState;
use crate::telemetry::{ErrorClass, TimeoutKind};

/// A message whose body is read (errors, command tags, parameters) is taken whole up to this length; a longer one passes
/// unread.
const WHOLE_MESSAGE: usize = 64 * 1024;

/// Bytes of a message begun that are still buffered for a client that does not read, when its statement's time is over.
pub(super) const TAIL_FOR_BLOCKED_CLIENT: usize = 1024 * 1024;

/// What handling one message leads to.
enum Progress {
    More,
    Wait,
    /// The server is gone, or no longer to be understood.
    Lost,
}

impl Session {
    /// Deals with everything that has arrived, as far as it can, and gives the server connection back if the transaction
    /// is over.
    pub(super) fn server_bytes(&mut self) -> Result<Flow, Ending> {
        loop {
            match self.server_message()? {
                Progress::More => {}
                Progress::Wait => break,
                Progress::Lost => return self.server_lost(None),
            }
        }
        self.release_if_settled();
        self.wind();
        Ok(Flow::Continue)
    }

    fn server_message(&mut self) -> Result<Progress, Ending> {
        self.stream_server_rest();
        let Some(owned) = &mut self.server else {
            return Ok(Progress::Wait);
        };
        let server = &mut *owned.server;
        if server.backend.rest.left > 0 {
            return Ok(Progress::Wait);
        }
        let header = match codec::peek(server.inbox.bytes()) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(Progress::Wait),
            Err(_) => return Ok(Progress::Lost),
        };
        let Ok(tag) = header.backend() else {
            return Ok(Progress::Lost);
        };
        let total = header.message_length();
        if is_read(tag) && total <= WHOLE_MESSAGE && server.inbox.len() < total {
            server.inbox.reserve(total);
            return Ok(Progress::Wait);
        }
        if is_read(tag) {
            self.read_message(tag, header)?;
        }
        self.pass_message(tag, header)
    }

    /// Messages whose bodies say something to the sidecar, before they are passed on.
    fn read_message(&mut self, tag: BackendTag, header: Header) -> Result<(), Ending> {
        let Some(owned) = &mut self.server else {
            return Ok(());
        };
        let server = &mut *owned.server;
        let Some(body) = server
            .inbox
            .bytes()
            .get(HEADER_LENGTH..header.message_length())
        else {
            return Ok(());
        };
        match tag {
            BackendTag::ReadyForQuery => {
                let status = TransactionStatus::read(body)?;
                server.backend.status = status;
                if server.backend.replies.client_is_next() {
                    self.tell_overdue();
                }
            }
            BackendTag::ParameterStatus => {
                let body = body.to_vec();
                server.backend.note_parameter(&body);
            }
            BackendTag::ErrorResponse => {
                let body = body.to_vec();
                self.note_error(&body)?;
            }
            BackendTag::CommandComplete => {
                if let Ok(complete) = CommandComplete::read(body)
                    && changes_session(complete.tag)
                {
                    let tag = complete.tag.to_vec();
                    self.command_completed(&tag);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Holds the message against what is expected, and passes it on or not.
    fn pass_message(&mut self, tag: BackendTag, header: Header) -> Result<Progress, Ending> {
        let Some(owned) = &mut self.server else {
            return Ok(Progress::Wait);
        };
        let backend = &mut owned.server.backend;
        let (learnt, names) = (&mut backend.statements, &mut self.statements);
        let step = backend.replies.step(tag, |gone| {
            learnt.undo(&gone);
            names.undo(gone);
        });
        let Ok(step) = step else {
            return Ok(Progress::Lost);
        };
        if matches!(step, Step::Swallow) && tag == BackendTag::ErrorResponse {
            // A statement of the sidecar's own has failed: what this session is cannot be said any more.
            return Ok(Progress::Lost);
        }
        if backend.replies.take_due_sync() {
            message::sync(owned.server.outbox.writer());
            owned.server.backend.replies.push_sync();
        }
        let backend = &mut owned.server.backend;
        let overdue = self.clocks.is_overdue();
        let forward = match &step {
            Step::Forward => !overdue,
            Step::Finished(_) => !overdue || tag == BackendTag::ReadyForQuery,
            Step::Swallow | Step::Swallowed(_) | Step::Replace(_) => false,
            Step::Unsolicited => return Ok(Progress::Lost),
        };
        backend.rest = Rest {
            left: header.message_length(),
            forward: forward && !is_replaced(tag, self.lost_words.is_some()),
        };
        if is_copy(tag) {
            self.clocks.copying = true;
        }
        if let Step::Replace(error) = &step
            && !overdue
        {
            self.say(error);
        }
        self.stream_server_rest();
        match step {
            Step::Swallowed(Expect::Own) => self.ready_after_own(),
            _ if tag == BackendTag::ReadyForQuery => self.ready(),
            _ => {}
        }
        self.emit_answers();
        Ok(Progress::More)
    }

    fn stream_server_rest(&mut self) {
        let Some(owned) = &mut self.server else {
            return;
        };
        let server = &mut *owned.server;
        let rest = &mut server.backend.rest;
        let count = rest.left.min(server.inbox.len());
        if count == 0 {
            return;
        }
        if rest.forward {
            self.outbox.push(&server.inbox.bytes()[..count]);
        }
        rest.left -= count;
        server.inbox.consume(count);
    }

    /// The statement whose time was over has come to its end: the client is told which setting it was, in place of whatever
    /// the server has said.
    fn tell_overdue(&mut self) {
        if let Some(overdue) = &mut self.clocks.overdue
            && let Some(error) = overdue.error.take()
        {
            self.say(&error);
        }
    }

    /// `ReadyForQuery` has come: a statement is over, and perhaps its transaction.
    fn ready(&mut self) {
        let Some(owned) = &mut self.server else {
            return;
        };
        let backend = &owned.server.backend;
        let (status, waits) = (backend.status, backend.replies.client_waits());
        owned
            .server
            .note_ready(self.force.settings.timeouts.connect);
        let now = Instant::now();
        if let Some(began) = self.clocks.statement.take() {
            let took = now.saturating_duration_since(began).as_secs_f64();
            self.entry.metrics.query_seconds.observe(took);
        }
        let open = status != TransactionStatus::Idle;
        if !open {
            self.factory.activity.count_transaction(now);
            self.work.complete();
            if waits {
                self.work.begin(ExecutionState::Running);
            }
        }
        self.clocks.copying = false;
        self.clocks.statement = waits.then_some(now);
        self.clocks.silence = (open && !waits && self.local.is_normal()).then_some(now);
        if !open {
            self.clocks.transaction = waits.then_some(now);
        }
        if let Some(overdue) = self.clocks.overdue.take()
            && overdue.kind == TimeoutKind::Transaction
            && open
        {
            let error = super::clocks::timeout_error(&self.force, overdue.kind);
            self.roll_back();
            self.local = Local::aborted(error);
        }
        if self.reassert && !open && !waits && self.is_pinned() {
            self.assert_user_again();
        }
    }

    /// A statement of the sidecar's own is over. What the client has sent behind it goes on under its own clock.
    fn ready_after_own(&mut self) {
        if self
            .clocks
            .overdue
            .as_ref()
            .is_some_and(|overdue| overdue.error.is_none())
        {
            self.clocks.overdue = None;
        }
    }

    /// Rolls the transaction back by a statement of the sidecar's own, which the client does not see.
    pub(super) fn roll_back(&mut self) {
        self.clocks.silence = None;
        self.clocks.transaction = None;
        let Some(server) = self.server_mut() else {
            return;
        };
        let query = message::Query { text: b"ROLLBACK" };
        if query.write(server.outbox.writer()).is_ok() {
            server.backend.replies.push(Expect::Own);
        }
        self.clocks.statement = None;
        // A server that does not even answer a ROLLBACK is not waited for.
        self.clocks.overdue = Some(Overdue {
            kind: TimeoutKind::Statement,
            error: None,
            limit: Instant::now() + RESTORE_LIMIT,
        });
    }

    /// Counts an error; a FATAL one is kept back, because the connection that it ends is not the client's.
    fn note_error(&mut self, body: &[u8]) -> Result<(), Ending> {
        let Ok(fields) = NoticeFields::read(body) else {
            return Ok(());
        };
        let code = fields.sqlstate().map_or(&b""[..], |code| &code[..]);
        self.entry.metrics.error(ErrorClass::of_sqlstate(code));
        self.factory.activity.count_error();
        self.work.end(if code == SqlState::QUERY_CANCELED.bytes() {
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

    /// Writes the answers of the sidecar's own whose turn has come.
    pub(super) fn emit_answers(&mut self) {
        while let Some(owned) = &mut self.server {
            let backend = &mut owned.server.backend;
            let status = backend.status;
            let Some(answer) = backend.replies.take_answer() else {
                return;
            };
            match answer {
                Answer::ParseComplete(_) => message::parse_complete(self.outbox.writer()),
                Answer::CloseComplete(_) => message::close_complete(self.outbox.writer()),
                Answer::Deallocated(_) => self.answer_deallocated(status),
            }
        }
    }
}

/// Whether the sidecar reads the body.
const fn is_read(tag: BackendTag) -> bool {
    matches!(
        tag,
        BackendTag::ReadyForQuery
            | BackendTag::ErrorResponse
            | BackendTag::CommandComplete
            | BackendTag::ParameterStatus
    )
}

/// Whether a COPY begins.
const fn is_copy(tag: BackendTag) -> bool {
    matches!(
        tag,
        BackendTag::CopyInResponse | BackendTag::CopyOutResponse | BackendTag::CopyBothResponse
    )
}

/// A FATAL error is not passed on: what the client is told comes when the connection has gone.
const fn is_replaced(tag: BackendTag, fatal: bool) -> bool {
    fatal && matches!(tag, BackendTag::ErrorResponse)
}

/// Whether a command tag says that the session may have changed. Most tags are told apart by their first byte.
fn changes_session(tag: &[u8]) -> bool {
    matches!(tag.first(), Some(b'S' | b'R' | b'D' | b'L' | b'P'))
        && matches!(
            tag,
            b"SET" | b"RESET" | b"DISCARD ALL" | b"DEALLOCATE ALL" | b"LISTEN" | b"PREPARE"
        )
}
