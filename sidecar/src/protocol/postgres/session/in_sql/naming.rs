//! A client has named a user, or taken the name back.

use super::super::super::error_response::SqlState;
use super::super::super::message::{self, CommandComplete, Format, data_row};
use super::super::super::statement_text::{Form, Lasts, Name, Naming, NamingValue};
use super::super::Session;
use super::super::client::Step;
use super::{extended, refusal};
use crate::protocol::postgres::handshake::Redacted;

/// A switch that waits to be made.
#[derive(Debug)]
pub struct Switch {
    /// By which name.
    pub(super) name: Name,
    /// The token or the id.
    pub(super) value: Redacted,
    /// How long it is to last.
    pub(super) lasts: Lasts,
    /// How it is answered.
    pub(super) form: Form,
    pub(super) reply: Reply,
}

/// By which protocol a statement is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The simple one, where a statement's answer ends with `ReadyForQuery`.
    Query,
    /// The extended one.
    Execute,
}

impl Reply {
    pub(super) fn is_simple(self) -> bool {
        self == Self::Query
    }
}

impl Session {
    /// Takes a name back at once; one that is given must be verified first, which may have to wait. The message has been taken.
    pub(super) fn name_user(
        &mut self,
        naming: Naming,
        bound: Option<Vec<u8>>,
        reply: Reply,
    ) -> Step {
        let Naming {
            name,
            value,
            lasts,
            form,
        } = naming;
        let value = match value {
            NamingValue::Text(text) => Some(text),
            NamingValue::Nobody => None,
            NamingValue::Parameter => match bound.map(String::from_utf8).transpose() {
                Ok(value) => value,
                Err(_) => {
                    self.become_nobody();
                    self.fail_locally(&refusal::not_text(), reply.is_simple());
                    return Step::Done;
                }
            },
        };
        // What is empty names nobody: so do pools that clear a setting.
        let value = value.filter(|text| !text.is_empty());
        let begun = self.in_sql.as_deref().is_some_and(|it| it.begun.is_some());
        match value {
            Some(value) if begun || lasts == Lasts::Scope => {
                let switch = Switch {
                    name,
                    value: Redacted::new(value),
                    lasts,
                    form,
                    reply,
                };
                if let Some(in_sql) = self.in_sql.as_deref_mut() {
                    in_sql.switch = Some(Box::new(switch));
                }
                Step::Switch
            }
            value => {
                // Outside of a transaction, what lasts to its end is over with this statement.
                self.become_nobody();
                if value.is_some() && form == Form::Set {
                    self.warn(
                        SqlState::NO_ACTIVE_TRANSACTION,
                        "SET LOCAL can only be used in transaction blocks",
                    );
                }
                self.answer_naming(&form, reply, value.as_deref().unwrap_or_default());
                Step::Done
            }
        }
    }

    /// Answers a statement that has named a user.
    pub(super) fn answer_naming(&mut self, form: &Form, reply: Reply, value: &str) {
        if reply.is_simple()
            && let Some(column) = extended::column_of(form, Format::Text)
        {
            column.write(self.outbox.writer());
        }
        let tag: &[u8] = match form {
            Form::Set => b"SET",
            Form::Reset => b"RESET",
            Form::SetConfig(_) => {
                // A text looks the same in either format.
                data_row(value.as_bytes(), self.outbox.writer());
                b"SELECT 1"
            }
        };
        CommandComplete { tag }.write(self.outbox.writer());
        if reply.is_simple() {
            let status = self.local_status();
            message::ready_for_query(status, self.outbox.writer());
        }
    }
}
