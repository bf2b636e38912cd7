//! What a client's SET, RESET and DISCARD mean for its baseline, once the server has carried them out.
//!
//! A change that stands alone outside of a transaction becomes part of the baseline, and can be repeated on any connection.
//! Any other that outlives its transaction keeps the server connection with this client.

use std::rc::Rc;

use super::super::message::{Query, TransactionStatus};
use super::super::statement_text::ResetStatement;
use super::Session;
use super::baseline::{self, Settings, Value};
use super::statements::{Change, Statement};

impl Session {
    /// A command has changed the session, or may have.
    pub(super) fn command_completed(&mut self, tag: &[u8]) {
        let Some(owned) = &mut self.server else {
            return;
        };
        let backend = &mut owned.server.backend;
        match tag {
            b"SET" | b"RESET" => {
                let statement = backend.replies.front_statement();
                let outside = backend.status == TransactionStatus::Idle;
                self.note_change(statement.as_deref(), outside);
            }
            b"COMMIT" | b"ROLLBACK" => self.note_transaction_end(tag == b"ROLLBACK"),
            b"DISCARD ALL" => {
                backend.forget_session();
                self.note_reset();
                self.statements.clear();
                self.pinned = false;
                self.parameters_pinned = false;
                self.set_baseline(Settings::clone(&self.startup));
                self.reassert = true;
            }
            b"DEALLOCATE ALL" => {
                backend.statements.clear();
                self.statements.clear();
            }
            b"DISCARD SEQUENCES" => backend.tenure = None,
            b"LISTEN" | b"PREPARE" => self.pinned = true,
            _ => {}
        }
    }

    fn note_change(&mut self, statement: Option<&Statement>, outside: bool) {
        let Some(statement) = statement else {
            self.parameters_pinned = true;
            return;
        };
        if !statement.traits.sets_parameter() && !statement.traits.resets_parameter() {
            return;
        }
        if !outside && self.keeps_change(statement) {
            self.unsettle();
            return;
        }
        let changed = statement.change.as_ref().filter(|_| outside);
        if changed == Some(&Change::Reset(ResetStatement::All)) {
            self.note_reset();
        }
        match changed.and_then(|change| self.changed_baseline(change)) {
            Some(baseline) => {
                self.set_baseline(baseline);
                // What it has set where nobody could see it is gone; role and user parameter are said again.
                self.parameters_pinned &= changed != Some(&Change::Reset(ResetStatement::All));
            }
            None => self.parameters_pinned = true,
        }
        self.unsettle();
    }

    /// Keeps a change that nobody has made inside of a transaction: it is the client's if that is committed.
    fn keeps_change(&mut self, statement: &Statement) -> bool {
        let unidentified = self.is_unidentified();
        let (Some(change), Some(in_sql)) = (&statement.change, self.in_sql.as_deref_mut()) else {
            return false;
        };
        if unidentified {
            in_sql.keep(change.clone());
        }
        unidentified
    }

    /// The baseline after a change; `None` where the parameter is none that may be carried along.
    pub(super) fn changed_baseline(&self, change: &Change) -> Option<Settings> {
        let mut baseline = Settings::clone(&self.baseline);
        match change {
            Change::Set(set) if !self.may_be_baseline(&set.name) => return None,
            Change::Set(set) => match &set.value {
                Some(value) => baseline.set(&set.name, Value::Expression(value.as_str().into())),
                None => self.put_back(&mut baseline, &set.name),
            },
            Change::Reset(ResetStatement::One(name)) => self.put_back(&mut baseline, name),
            Change::Reset(ResetStatement::All) => return Some(Settings::clone(&self.startup)),
        }
        Some(baseline)
    }

    /// RESET goes back to what the client brought at start-up.
    fn put_back(&self, baseline: &mut Settings, name: &str) {
        match self.startup.get(&name.to_ascii_lowercase()) {
            Some(value) => baseline.set(name, value.clone()),
            None => baseline.remove(name),
        }
    }

    /// What the server connection has is known only by its own word from now on: the next checkout says it all again.
    fn unsettle(&mut self) {
        self.reassert = true;
        if let Some(server) = self.server_mut() {
            server.backend.now = None;
        }
    }

    /// Changes the baseline, and what work must find with it.
    pub(super) fn set_baseline(&mut self, baseline: Settings) {
        let mut wanted = super::prepare::policy_settings(&self.force);
        for (name, value) in baseline.iter() {
            // One that the policy has come to fix since.
            if !self.force.fixes(name) {
                wanted.set(name, value.clone());
            }
        }
        self.assertion = None;
        if let Some(user) = self.factory.key.owner.user() {
            let mut sql = String::new();
            for name in self.force.user_parameters() {
                wanted.set(name, Value::Text(user.as_str().into()));
                sql.push_str(&baseline::assign(name, user.as_str()));
            }
            self.assertion = assertion(&sql);
        }
        if wanted != *self.wanted {
            self.wanted = self.factory.share_settings(wanted);
        }
        if baseline != *self.baseline {
            self.baseline = Rc::new(baseline);
        }
    }
}

/// The message that says who the user is: none where there is nothing to say, or no message can hold it.
fn assertion(sql: &str) -> Option<Rc<[u8]>> {
    if sql.is_empty() {
        return None;
    }
    let mut message = Vec::new();
    let query = Query {
        text: sql.as_bytes(),
    };
    query.write(&mut message).ok()?;
    Some(message.into())
}
