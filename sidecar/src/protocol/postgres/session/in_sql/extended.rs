//! The extended protocol of statements that the sidecar answers itself; everything else passes.

use std::rc::Rc;

use super::super::super::codec::{FrontendTag, HEADER_LENGTH, Header, ProtocolError};
use super::super::super::message::{
    self, Bind, BindNames, Column, Format, Parse, Target, TargetKind, Type, empty_query_response,
    parameter_description,
};
use super::super::super::statement_text::{Form, Naming, NamingValue};
use super::super::client::Step;
use super::super::extended::unknown_statement;
use super::super::replies::{Answer, Expect, Forgotten};
use super::super::statements::Statement;
use super::super::{Ending, Session};
use super::naming::Reply;
use super::portals::{Portal, Runs};
use super::{Verdict, answer, refusal};

/// Types that a parameter may have which names a user: none given, `text`, `varchar`, `unknown`.
const TEXT_TYPES: [u32; 4] = [0, 25, 1043, 705];

impl Session {
    pub(super) fn parse_in_sql(&mut self, header: Header) -> Result<Step, Ending> {
        let parse = Parse::read(self.arrived_body(header).unwrap_or_default())?;
        match self.judge(parse.query) {
            Verdict::Answered(statements) if statements.len() > 1 => {
                Ok(self.complain(header, refusal::several_statements(), false))
            }
            Verdict::Names(_) | Verdict::Answered(_) => self.parse_locally(header),
            Verdict::Work => self.pass(FrontendTag::Parse, header),
            Verdict::Refused(error) => Ok(self.complain(header, error, false)),
        }
    }

    fn parse_locally(&mut self, header: Header) -> Result<Step, Ending> {
        let body = self.arrived_body(header).unwrap_or_default();
        let name: Rc<[u8]> = Parse::read(body)?.name.into();
        let rest = body.get(name.len() + 1..).unwrap_or_default();
        let given = if name.is_empty() {
            let statement = self.worker.interner.once(rest);
            self.statements.set_unnamed(Some(statement));
            None
        } else {
            let statement = self.worker.interner.intern(rest);
            if let Err(error) = self.may_name(&name, &statement) {
                return Ok(self.complain(header, error, false));
            }
            self.statements
                .insert(Rc::clone(&name), Rc::clone(&statement));
            Some(Forgotten { name, statement })
        };
        self.discard(header);
        if self.is_free() {
            message::parse_complete(self.outbox.writer());
        } else {
            self.expect(Expect::Answer(Answer::ParseComplete(given)));
        }
        Ok(Step::Done)
    }

    pub(super) fn bind_in_sql(&mut self, header: Header) -> Result<Step, Ending> {
        let end = header.message_length().min(self.inbox.len());
        let prefix = self
            .inbox
            .bytes()
            .get(HEADER_LENGTH..end)
            .unwrap_or_default();
        let names = BindNames::read(prefix)?.ok_or(ProtocolError::Malformed {
            message: "Bind",
            problem: "a name has no end",
        })?;
        let Some(statement) = self.statements.get(names.statement).map(Rc::clone) else {
            let error = unknown_statement(names.statement);
            return Ok(self.complain(header, error, false));
        };
        match self.judge_statement(&statement) {
            Verdict::Names(_) if !self.is_free() => {
                let error = self.in_transaction_error();
                Ok(self.complain(header, error, false))
            }
            Verdict::Names(naming) => self.bind_naming(header, naming, &statement),
            Verdict::Answered(statements) => {
                let runs = Runs::Answered(statements.into_iter().next());
                self.bind_locally(header, |_| Some(runs))
            }
            Verdict::Work => self.pass(FrontendTag::Bind, header),
            Verdict::Refused(error) => Ok(self.complain(header, error, false)),
        }
    }

    /// A statement was judged when it was parsed; what it may do now depends on who the client is now.
    fn judge_statement(&self, statement: &Statement) -> Verdict {
        if statement.is_kept() {
            self.judge(statement.text())
        } else {
            Verdict::Work
        }
    }

    fn bind_naming(
        &mut self,
        header: Header,
        naming: Naming,
        statement: &Statement,
    ) -> Result<Step, Ending> {
        if !parameter_types(statement).all(|oid| TEXT_TYPES.contains(&oid)) {
            return Ok(self.complain(header, refusal::not_text(), false));
        }
        let wanted = usize::from(naming.value == NamingValue::Parameter);
        self.bind_locally(header, |bind| {
            let value = bind.values.first().copied().flatten();
            let fits = bind.values.len() == wanted;
            fits.then(|| Runs::Naming(naming, value.map(<[u8]>::to_vec)))
        })
    }

    fn bind_locally(
        &mut self,
        header: Header,
        runs: impl FnOnce(&Bind<'_>) -> Option<Runs>,
    ) -> Result<Step, Ending> {
        let Some(body) = self.arrived_body(header) else {
            // Longer than a buffer: no driver says so much to a statement like these.
            return Ok(self.complain(header, refusal::not_text(), false));
        };
        let bind = Bind::read(body)?;
        let Some(runs) = runs(&bind) else {
            return Ok(self.complain(header, refusal::not_text(), false));
        };
        let name: Box<[u8]> = bind.portal.into();
        let portal = Portal {
            runs,
            format: bind.result_format,
        };
        let Some(in_sql) = self.in_sql.as_deref_mut() else {
            return Ok(Step::Done);
        };
        if let Err(why) = in_sql.portals.open(&name, portal) {
            return Ok(self.complain(header, refusal::no_portal(why), false));
        }
        self.discard(header);
        message::bind_complete(self.outbox.writer());
        Ok(Step::Done)
    }

    pub(super) fn describe_in_sql(&mut self, header: Header) -> Result<Step, Ending> {
        let target = Target::read(self.whole_body(header)?)?;
        if target.kind == TargetKind::Portal {
            let name: Box<[u8]> = target.name.into();
            return self.describe_portal(header, &name);
        }
        let Some(statement) = self.statements.get(target.name).map(Rc::clone) else {
            let error = unknown_statement(target.name);
            return Ok(self.complain(header, error, false));
        };
        match self.judge_statement(&statement) {
            Verdict::Names(_) if !self.is_free() => {
                let error = self.in_transaction_error();
                Ok(self.complain(header, error, false))
            }
            Verdict::Names(naming) => {
                let types: Vec<u32> = match naming.value {
                    NamingValue::Parameter => vec![Type::TEXT.oid()],
                    _ => Vec::new(),
                };
                parameter_description(&types, self.outbox.writer());
                self.describe_row(header, column_of(&naming.form, Format::Text));
                Ok(Step::Done)
            }
            Verdict::Answered(statements) => {
                parameter_description(&[], self.outbox.writer());
                let first = statements.first();
                let column = first.and_then(|first| answer::column_of(first, Format::Text));
                self.describe_row(header, column);
                Ok(Step::Done)
            }
            Verdict::Work => self.pass(FrontendTag::Describe, header),
            Verdict::Refused(error) => Ok(self.complain(header, error, false)),
        }
    }

    fn describe_portal(&mut self, header: Header, name: &[u8]) -> Result<Step, Ending> {
        let portal = self.in_sql.as_deref().and_then(|it| it.portals.get(name));
        let Some(portal) = portal.cloned() else {
            return self.pass_portal(FrontendTag::Describe, header, name);
        };
        match &portal.runs {
            Runs::Naming(naming, _) => {
                self.describe_row(header, column_of(&naming.form, portal.format));
            }
            Runs::Answered(statement) => {
                let statement = statement.as_ref();
                let column = statement.and_then(|it| answer::column_of(it, portal.format));
                self.describe_row(header, column);
            }
        }
        Ok(Step::Done)
    }

    fn describe_row(&mut self, header: Header, column: Option<Column<'_>>) {
        match column {
            Some(column) => column.write(self.outbox.writer()),
            None => message::no_data(self.outbox.writer()),
        }
        self.discard(header);
    }

    pub(super) fn execute_in_sql(&mut self, header: Header) -> Result<Step, Ending> {
        let body = self.arrived_body(header).unwrap_or_default();
        let end = memchr::memchr(0, body).ok_or(ProtocolError::Malformed {
            message: "Execute",
            problem: "the portal's name has no end",
        })?;
        let name: Box<[u8]> = body.get(..end).unwrap_or_default().into();
        let portal = self
            .in_sql
            .as_deref_mut()
            .and_then(|it| it.portals.close(&name));
        let Some(portal) = portal else {
            return self.pass_portal(FrontendTag::Execute, header, &name);
        };
        match portal.runs {
            Runs::Naming(..) if !self.is_free() => {
                let error = self.in_transaction_error();
                Ok(self.complain(header, error, false))
            }
            Runs::Naming(naming, value) => {
                self.discard(header);
                Ok(self.name_user(naming, value, Reply::Execute))
            }
            Runs::Answered(None) => {
                self.discard(header);
                empty_query_response(self.outbox.writer());
                Ok(Step::Done)
            }
            Runs::Answered(Some(statement)) => {
                self.discard(header);
                if let Err(error) = self.run_answered(statement, portal.format) {
                    self.fail_locally(&error, false);
                }
                Ok(Step::Done)
            }
        }
    }

    /// A portal that is not the sidecar's is a server's; nobody has one without a server.
    fn pass_portal(
        &mut self,
        tag: FrontendTag,
        header: Header,
        name: &[u8],
    ) -> Result<Step, Ending> {
        if self.server.is_none() && self.is_unidentified() {
            return Ok(self.complain(header, refusal::unknown_portal(name), false));
        }
        self.pass(tag, header)
    }

    pub(super) fn close_in_sql(&mut self, header: Header) -> Result<Step, Ending> {
        let target = Target::read(self.whole_body(header)?)?;
        let ours = target.kind == TargetKind::Portal
            && (self.in_sql.as_deref()).is_some_and(|it| it.portals.get(target.name).is_some());
        if !ours && self.server.is_some() {
            return self.pass(FrontendTag::Close, header);
        }
        let name: Rc<[u8]> = target.name.into();
        match target.kind {
            TargetKind::Portal => {
                if let Some(in_sql) = self.in_sql.as_deref_mut() {
                    in_sql.portals.close(&name);
                }
            }
            TargetKind::Statement if name.is_empty() => self.statements.set_unnamed(None),
            TargetKind::Statement => drop(self.statements.remove(&name)),
        }
        self.discard(header);
        message::close_complete(self.outbox.writer());
        Ok(Step::Done)
    }
}

/// The column of `set_config`.
pub(super) fn column_of(form: &Form, format: Format) -> Option<Column<'_>> {
    match form {
        Form::SetConfig(name) => Some(Column {
            name: name.as_bytes(),
            kind: Type::TEXT,
            format,
        }),
        Form::Set | Form::Reset => None,
    }
}

/// The types that a `Parse` has given its parameters.
fn parameter_types(statement: &Statement) -> impl Iterator<Item = u32> + '_ {
    // Behind the text stand its NUL and the count of types, two bytes.
    let start = statement.text().len() + 3;
    let types = statement.body.get(start..).unwrap_or_default();
    types
        .chunks_exact(4)
        .filter_map(|oid| Some(u32::from_be_bytes(oid.try_into().ok()?)))
}
