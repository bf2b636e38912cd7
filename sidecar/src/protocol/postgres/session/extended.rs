//! The extended query protocol: statements under names that are the sidecar's, so that any connection of the user's can run
//! them.

use std::rc::Rc;

use super::super::codec::{HEADER_LENGTH, Header, ProtocolError};
use super::super::error_response::{ErrorResponse, SqlState};
use super::super::isolate;
use super::super::message::{self, BindNames, Parse, Target, TargetKind};
use super::client::{Step, drops_statements};
use super::replies::{Answer, Expect, Forgotten};
use super::statements::{self, Statement};
use super::{Ending, Session};
use crate::factory::server::Server;

impl Session {
    pub(super) fn parse(&mut self, header: Header) -> Result<Step, Ending> {
        if !self.renames() {
            self.note_parsed(header);
            self.expect_and_forward(untracked_parse(), header);
            return Ok(Step::Done);
        }
        let total = header.message_length();
        let named = self.inbox.bytes().get(HEADER_LENGTH) != Some(&0);
        if total > self.statements.room(self.statement_limit(), named) {
            self.parse_too_long(header, named);
            return Ok(Step::Done);
        }
        if self.inbox.len() < total {
            self.inbox.reserve(total);
            return Ok(Step::Wait);
        }
        if named {
            self.parse_named(header)?;
        } else {
            self.parse_unnamed(header);
        }
        Ok(Step::Done)
    }

    /// An unnamed statement is remembered too: a client may bind it in a later transaction, on another connection.
    fn parse_unnamed(&mut self, header: Header) {
        let rest = &self.inbox.bytes()[HEADER_LENGTH + 1..header.message_length()];
        let statement = self.worker.interner.once(rest);
        self.forward_unnamed(statement, header);
    }

    fn forward_unnamed(&mut self, statement: Rc<Statement>, header: Header) {
        self.statements.set_unnamed(Some(Rc::clone(&statement)));
        if let Some(server) = self.server_mut() {
            server.backend.statements.set_unnamed(Some(statement.id));
        }
        let expect = Expect::Parse {
            statement: Some(statement),
            name: None,
            hidden: false,
        };
        self.expect_and_forward(expect, header);
    }

    fn parse_named(&mut self, header: Header) -> Result<(), Ending> {
        let body = &self.inbox.bytes()[HEADER_LENGTH..header.message_length()];
        let parse = Parse::read(body)?;
        let name: Rc<[u8]> = parse.name.into();
        let statement = self.worker.interner.intern(&body[name.len() + 1..]);
        if let Err(error) = self.may_name(&name, &statement) {
            self.refuse(header, error);
            return Ok(());
        }
        self.statements
            .insert(Rc::clone(&name), Rc::clone(&statement));
        self.begin_statement();
        self.discard(header);
        let Some(server) = self.server_mut() else {
            return Ok(());
        };
        if server.backend.statements.knows(&statement) {
            server
                .backend
                .replies
                .push(Expect::Answer(Answer::ParseComplete(Some(Forgotten {
                    name,
                    statement,
                }))));
        } else {
            teach(server, &statement, Some(name), false)?;
        }
        Ok(())
    }

    /// Whether the client may give a statement this name.
    pub(super) fn may_name(&self, name: &[u8], statement: &Statement) -> Result<(), ErrorResponse> {
        if self.statements.get(name).is_some() {
            return Err(duplicate_statement(name));
        }
        if statement.body.len() > self.statements.room(self.statement_limit(), true) {
            return Err(self.statements_too_long());
        }
        Ok(())
    }

    /// A text that is too long to keep: an unnamed one passes, and lasts as long as this server connection has it; a named one
    /// is refused.
    fn parse_too_long(&mut self, header: Header, named: bool) {
        if named {
            let error = self.statements_too_long();
            self.refuse(header, error);
            return;
        }
        let beginning = self.inbox.bytes().get(HEADER_LENGTH + 1..);
        let statement = self.worker.interner.unkept(beginning.unwrap_or_default());
        self.forward_unnamed(statement, header);
    }

    /// Whether a statement was too long to be kept, and the server connection has it no more.
    fn is_gone(&self, statement: &Statement) -> bool {
        let server = self.server.as_ref();
        let unnamed = server.and_then(|owned| owned.server.backend.statements.unnamed());
        !statement.is_kept() && unnamed != Some(statement.id)
    }

    pub(super) fn bind(&mut self, header: Header) -> Result<Step, Ending> {
        if !self.renames() {
            self.note_bound_unknown();
            self.expect_and_forward(Expect::Bind, header);
            return Ok(Step::Done);
        }
        let end = header.message_length().min(self.inbox.len());
        let prefix = &self.inbox.bytes()[HEADER_LENGTH..end];
        let names = BindNames::read(prefix)?.ok_or(ProtocolError::Malformed {
            message: "Bind",
            problem: "a name has no end",
        })?;
        let Some(statement) = self.statements.get(names.statement).map(Rc::clone) else {
            let error = unknown_statement(names.statement);
            self.refuse(header, error);
            return Ok(Step::Done);
        };
        if self.is_gone(&statement) {
            let error = self.statement_gone();
            self.refuse(header, error);
            return Ok(Step::Done);
        }
        let unnamed = names.statement.is_empty();
        let mut head = Vec::new();
        let dealt_with = if unnamed {
            0
        } else {
            names.write_head(header, statement.server_name().as_bytes(), &mut head)?;
            HEADER_LENGTH + names.rest_offset
        };
        self.note_traits(statement.traits, Some(&statement));
        self.note_bound(&statement);
        self.begin_statement();
        if let Some(server) = self.server_mut() {
            make_known(server, &statement, unnamed)?;
            server.outbox.push(&head);
            server.backend.replies.push(Expect::Bind);
        }
        let traits = statement.traits;
        let remembered = isolate::may_change(traits) || drops_statements(traits);
        self.bound = remembered.then_some(statement);
        self.inbox.consume(dealt_with);
        self.forward_rest(header.message_length() - dealt_with);
        Ok(Step::Done)
    }

    pub(super) fn describe(&mut self, header: Header) -> Result<Step, Ending> {
        let target = Target::read(self.whole_body(header)?)?;
        if target.kind == TargetKind::Portal {
            self.expect_and_forward(Expect::DescribePortal, header);
            return Ok(Step::Done);
        }
        if !self.renames() {
            self.expect_and_forward(Expect::DescribeStatement, header);
            return Ok(Step::Done);
        }
        let unnamed = target.name.is_empty();
        let Some(statement) = self.statements.get(target.name).map(Rc::clone) else {
            let error = unknown_statement(target.name);
            self.refuse(header, error);
            return Ok(Step::Done);
        };
        if self.is_gone(&statement) {
            let error = self.statement_gone();
            self.refuse(header, error);
            return Ok(Step::Done);
        }
        self.begin_statement();
        self.discard(header);
        if let Some(server) = self.server_mut() {
            make_known(server, &statement, unnamed)?;
            let name = statement.server_name();
            let target = Target {
                kind: TargetKind::Statement,
                name: if unnamed { b"" } else { name.as_bytes() },
            };
            target.write_describe(server.outbox.writer());
            server.backend.replies.push(Expect::DescribeStatement);
        }
        Ok(Step::Done)
    }

    /// Closing a statement is the client's own affair: the server keeps what it has learnt for the next one who asks.
    pub(super) fn close(&mut self, header: Header) -> Result<Step, Ending> {
        let target = Target::read(self.whole_body(header)?)?;
        if target.kind == TargetKind::Portal || !self.renames() {
            self.expect_and_forward(Expect::Close, header);
            return Ok(Step::Done);
        }
        let name: Rc<[u8]> = target.name.into();
        let closed = if name.is_empty() {
            self.statements.set_unnamed(None);
            None
        } else {
            self.statements.remove(&name)
        };
        self.discard(header);
        self.expect(Expect::Answer(Answer::CloseComplete(closed)));
        Ok(Step::Done)
    }

    pub(super) fn execute(&mut self, header: Header) {
        self.count_execution();
        let bound = self.bound.clone();
        let drops = self.renames() && bound.as_ref().is_some_and(|it| drops_statements(it.traits));
        self.expect_and_forward(Expect::Execute(bound), header);
        if drops
            && self.rest.left == 0
            && let Some(server) = self.server_mut()
        {
            // The server must not wait for the Sync, which may be behind what waits for its answer.
            message::flush(server.outbox.writer());
            self.hold.until_answered();
        }
    }

    /// The server is going to owe this answer.
    pub(super) fn expect(&mut self, expect: Expect) {
        if let Some(server) = self.server_mut() {
            server.backend.replies.push(expect);
        }
    }

    pub(super) fn server_mut(&mut self) -> Option<&mut Server> {
        self.server.as_mut().map(|owned| &mut *owned.server)
    }

    /// The body of a message whose length the codec has bounded below a buffer's.
    pub(super) fn whole_body(&self, header: Header) -> Result<&[u8], Ending> {
        let body = self
            .inbox
            .bytes()
            .get(HEADER_LENGTH..header.message_length());
        body.ok_or_else(|| {
            Ending::from(ProtocolError::Malformed {
                message: "Describe or Close",
                problem: "the name is too long",
            })
        })
    }

    fn forward_rest(&mut self, left: usize) {
        self.rest.left = left;
        self.rest.forward = true;
        self.stream_rest();
    }

    pub(super) fn statement_limit(&self) -> usize {
        usize::try_from(self.force.policy.limits.memory_per_user).unwrap_or(usize::MAX)
    }

    fn statements_too_long(&self) -> ErrorResponse {
        self.beyond_limit("the prepared statements of all connections of this user would be longer than")
            .with_hint("Close statements that are no longer used, or raise limits.memoryPerUser in the policy.")
    }

    fn statement_gone(&self) -> ErrorResponse {
        self.beyond_limit("the unnamed statement is not on its server connection any more, and could not be kept: with all that this user's connections keep it is longer than")
            .with_hint("Bind it in the batch that parses it, or raise limits.memoryPerUser in the policy.")
    }

    pub(super) fn beyond_limit(&self, what: &str) -> ErrorResponse {
        let bytes = format!("{} bytes", self.statement_limit());
        let limit = self.force.policy.name_field("limits.memoryPerUser", bytes);
        ErrorResponse::error(SqlState::LIMIT_EXCEEDED, format!("{what} {limit}"))
    }
}

/// Makes sure that the server knows a statement before it is named, by a `Parse` that the client does not see.
fn make_known(
    server: &mut Server,
    statement: &Rc<Statement>,
    unnamed: bool,
) -> Result<(), ProtocolError> {
    let known = &mut server.backend.statements;
    if !unnamed {
        if known.knows(statement) {
            return Ok(());
        }
        return teach(server, statement, None, true);
    }
    if known.unnamed() == Some(statement.id) {
        return Ok(());
    }
    known.set_unnamed(Some(statement.id));
    write_parse(server, statement, b"")?;
    expect_parse(server, statement, None, true);
    Ok(())
}

/// Teaches the server a named statement; the one that was used longest ago makes room.
fn teach(
    server: &mut Server,
    statement: &Rc<Statement>,
    name: Option<Rc<[u8]>>,
    hidden: bool,
) -> Result<(), ProtocolError> {
    if let Some(id) = server.backend.statements.learn(statement) {
        let name = statements::server_name(id);
        let target = Target {
            kind: TargetKind::Statement,
            name: name.as_bytes(),
        };
        target.write_close(server.outbox.writer());
        server.backend.replies.push(Expect::Evict(id));
    }
    write_parse(server, statement, statement.server_name().as_bytes())?;
    expect_parse(server, statement, name, hidden);
    Ok(())
}

fn write_parse(
    server: &mut Server,
    statement: &Statement,
    name: &[u8],
) -> Result<(), ProtocolError> {
    let text = statement.text();
    // Behind the text stand its NUL and the count of types, two bytes, which the writer counts anew.
    let parse = Parse {
        name,
        query: text,
        parameter_types: statement.body.get(text.len() + 3..).unwrap_or_default(),
    };
    parse.write(server.outbox.writer())
}

fn expect_parse(
    server: &mut Server,
    statement: &Rc<Statement>,
    name: Option<Rc<[u8]>>,
    hidden: bool,
) {
    server.backend.replies.push(Expect::Parse {
        statement: Some(Rc::clone(statement)),
        name,
        hidden,
    });
}

const fn untracked_parse() -> Expect {
    Expect::Parse {
        statement: None,
        name: None,
        hidden: false,
    }
}

pub(super) fn unknown_statement(name: &[u8]) -> ErrorResponse {
    let message = if name.is_empty() {
        "unnamed prepared statement does not exist".to_owned()
    } else {
        format!(
            "prepared statement \"{}\" does not exist",
            String::from_utf8_lossy(name)
        )
    };
    ErrorResponse::error(SqlState::INVALID_STATEMENT_NAME, message)
}

fn duplicate_statement(name: &[u8]) -> ErrorResponse {
    let name = String::from_utf8_lossy(name);
    let message = format!("prepared statement \"{name}\" already exists");
    ErrorResponse::error(SqlState::DUPLICATE_STATEMENT, message)
}
