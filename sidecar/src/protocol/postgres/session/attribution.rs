//! Who names their users: the session's connection and queries in the inventory, in mode `Audit`.

use super::super::codec::{HEADER_LENGTH, Header};
use super::Session;
use super::baseline::Value;
use super::statements::Statement;
use crate::attribution::{Counted, comment};
use crate::telemetry::Attribution;

impl Session {
    /// What counts the session, where an inventory is taken.
    pub(super) fn inventory(&self, claim: Option<Attribution>) -> Option<Box<Counted>> {
        let name = match self.startup.get("application_name") {
            Some(Value::Text(name)) => &**name,
            _ => "",
        };
        Counted::new(&self.worker.process.metrics, &self.force, name, claim)
    }

    /// The login is over. A client that may name its users in SQL is counted by its first work instead.
    pub(super) fn count_login(&mut self) {
        if self.in_sql.is_none() {
            self.count_connection();
        }
    }

    /// Counts the connection by whose work it brings now, the first time.
    pub(super) fn count_connection(&mut self) {
        let verified = self.context.is_some();
        if let Some(counted) = &mut self.counted {
            counted.connection(verified);
        }
    }

    /// Counts a simple query, by its text as far as that has arrived.
    #[inline]
    pub(super) fn count_query(&self, header: Header) {
        let Some(counted) = self.counting() else {
            return;
        };
        let is_whole = header.message_length() <= self.inbox.len();
        let claim = comment::claim(self.query_text(header), is_whole);
        counted.query(self.context.is_some(), claim);
    }

    /// Counts the execution of a portal.
    #[inline]
    pub(super) fn count_execution(&self) {
        if let Some(counted) = self.counting() {
            counted.execution(self.context.is_some());
        }
    }

    /// Counts a call that has no text.
    pub(super) fn count_call(&self) {
        if let Some(counted) = self.counting() {
            counted.query(self.context.is_some(), None);
        }
    }

    /// A portal is made of this statement.
    #[inline]
    pub(super) fn note_bound(&mut self, statement: &Statement) {
        if let Some(counted) = &mut self.counted {
            counted.binds(statement.claim());
        }
    }

    /// A statement is prepared of which nothing is kept: its text counts for the Bind behind it.
    pub(super) fn note_parsed(&mut self, header: Header) {
        if self.counted.is_none() {
            return;
        }
        let end = header.message_length().min(self.inbox.len());
        let body = self.inbox.bytes().get(HEADER_LENGTH..end);
        let behind_name = body.and_then(|body| body.splitn(2, |byte| *byte == 0).nth(1));
        let claim = behind_name.and_then(|rest| match memchr::memchr(0, rest) {
            Some(end) => comment::claim(&rest[..end], true),
            None => comment::claim(rest, false),
        });
        if let Some(counted) = &mut self.counted {
            counted.parsed(claim);
        }
    }

    /// A portal is made of a statement that is not known here.
    pub(super) fn note_bound_unknown(&mut self) {
        if let Some(counted) = &mut self.counted {
            counted.binds_parsed();
        }
    }

    /// What counts it now: a policy that enforces since takes no inventory any more.
    #[inline]
    fn counting(&self) -> Option<&Counted> {
        let counted = self.counted.as_deref()?;
        (!self.force.enforces()).then_some(counted)
    }
}
