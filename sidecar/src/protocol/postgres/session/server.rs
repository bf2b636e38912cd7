//! What the server answers: held against what is expected, and given to the client as it comes. Nothing here waits.

use super::super::codec::{self, BackendTag, HEADER_LENGTH, Header};
use super::super::error_response::ErrorResponse;
use super::super::message::{self, CommandComplete, TransactionStatus};
use super::backend::Rest;
use super::overdue::{Fate, Overdue};
use super::replies::{Answer, Expect, Step};
use super::{Ending, Flow, Session};

/// A message whose body is read (errors, command tags, parameters) is taken whole up to this length; a longer one passes
/// unread.
const WHOLE_MESSAGE: usize = 64 * 1024;

/// What handling one message leads to.
enum Progress {
    More,
    Wait,
    /// The server is gone, or no longer to be understood.
    Lost,
    /// A statement of the sidecar's own has failed: what this session is cannot be said any more.
    Refused(Box<ErrorResponse>),
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
                Progress::Refused(error) => return self.server_lost(Some(error)),
            }
        }
        self.release_if_settled();
        self.note_silence();
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
            return Ok(self
                .own_refused(header)
                .map_or(Progress::Lost, Progress::Refused));
        }
        if backend.replies.take_due_sync() {
            message::sync(owned.server.outbox.writer());
            owned.server.backend.replies.push_sync();
        }
        let fate = match &step {
            Step::Forward | Step::Finished(_) => self.fate(tag, header),
            Step::Replace(error) => match self.fate(tag, header) {
                Fate::Pass => Fate::Replace(error.clone()),
                fate => fate,
            },
            Step::Swallow | Step::Swallowed(_) => Fate::Drop,
            Step::Unsolicited => return Ok(Progress::Lost),
        };
        if let Some(owned) = &mut self.server {
            owned.server.backend.rest = Rest {
                left: header.message_length(),
                forward: matches!(fate, Fate::Pass),
            };
        }
        if is_copy(tag) {
            self.copy_begins();
        }
        if let Fate::Replace(error) = &fate {
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

    /// Whether a message for the client reaches it. A FATAL error does not: what the client is told comes when the connection
    /// has gone.
    fn fate(&mut self, tag: BackendTag, header: Header) -> Fate {
        let is_error = tag == BackendTag::ErrorResponse;
        if is_error && self.lost_words.is_some() {
            return Fate::Drop;
        }
        let cancelled = is_error && self.clocks.cancelled;
        if let Some(overdue) = &mut self.clocks.overdue {
            let standing = self.outbox.len();
            return overdue.judge(tag, header.message_length(), standing, cancelled);
        }
        let late = self.clocks.late.take_if(|_| cancelled);
        late.map_or(Fate::Pass, Fate::Replace)
    }

    /// From here on the transaction's clock alone counts. A server that reads a COPY hears of no cancel.
    fn copy_begins(&mut self) {
        self.clocks.copying = true;
        // The client's data belongs to the message before it.
        self.hold.for_nothing();
        let copying_in = (self.server.as_ref())
            .is_some_and(|owned| owned.server.backend.replies.is_copying_in());
        if copying_in && self.clocks.is_overdue() {
            self.cancel_statement();
        }
    }

    /// Writes the answers of the sidecar's own whose turn has come.
    pub(super) fn emit_answers(&mut self) {
        while let Some(owned) = &mut self.server {
            let backend = &mut owned.server.backend;
            let status = backend.status;
            let Some(answer) = backend.replies.take_answer() else {
                return;
            };
            let in_batch = !matches!(answer, Answer::Deallocated(_));
            if in_batch && self.clocks.overdue.as_ref().is_some_and(Overdue::discards) {
                continue;
            }
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

/// Whether a command tag says that the session may have changed. Most tags are told apart by their first byte.
fn changes_session(tag: &[u8]) -> bool {
    matches!(tag.first(), Some(b'S' | b'R' | b'D' | b'L' | b'P' | b'C'))
        && matches!(
            tag,
            b"SET"
                | b"RESET"
                | b"DISCARD ALL"
                | b"DISCARD SEQUENCES"
                | b"DEALLOCATE ALL"
                | b"LISTEN"
                | b"PREPARE"
                | b"COMMIT"
                | b"ROLLBACK"
        )
}
