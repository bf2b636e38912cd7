//! What becomes of a client's command: it goes to the server, or is answered here. Never waits.

use tokio::time::Instant;

use super::super::codec::{RequestStep, push_array_header, push_bulk, push_error};
use super::super::commands::{Effect, Kept};
use super::super::failure;
use super::super::plan::{Decision, Plan, decide};
use super::pending::Due;
use super::transaction::Aftermath;
use super::{Ending, Session, Waits};

/// A command that no server has: what it is sent in the place of one that is refused inside of MULTI.
const REFUSED: &[u8] = b"BULKHEAD.REFUSED";

/// What becomes of a command.
pub(super) enum Done {
    /// Its bytes stand at the end of those that go to the server as they are.
    Forwarded,
    /// It goes to the server with other bytes than came.
    Rewritten(Plan),
    /// It is the sidecar's to deal with.
    Kept(Kept, Vec<Box<[u8]>>),
    /// It is refused with this line.
    Refused(String),
    /// It belongs to a transaction that the sidecar has ended.
    Ended(Aftermath),
    /// It waits for a server connection.
    Waits,
    /// More of it must come before anything can be said.
    More,
}

/// Whether a command may go to the server.
pub(super) enum May {
    /// It may.
    Send,
    /// Once there is a connection to one.
    Attach,
    /// It may not, for this reason.
    Not(String),
}

impl Session {
    /// What becomes of the command behind `run` bytes. One that may go to the server counts as sent.
    pub(super) fn judge(&mut self, run: usize) -> Done {
        let bytes = self.inbox.bytes().get(run..).unwrap_or_default();
        let command = self.walker.arguments(bytes);
        if self.transaction.is_aborted() {
            let name = command.get(0).unwrap_or_default();
            return Done::Ended(self.transaction.after(name));
        }
        let total = command.total();
        let plan = match decide(&command, self.isolation.as_ref()) {
            Decision::More => return Done::More,
            Decision::Refused(refusal) => {
                let setting = format!("databases[{}].session.keyPrefix", self.force.name);
                return Done::Refused(refusal.line(&setting).to_string());
            }
            Decision::Plan(plan) => plan,
        };
        if let Effect::Kept(kept) = plan.effect {
            return Done::Kept(kept, command.iter().map(Box::from).collect());
        }
        if self.transaction.is_queueing() && matches!(plan.effect, Effect::Subscription(_)) {
            return Done::Refused(
                "ERR Bulkhead does not serve subscriptions inside MULTI".to_owned(),
            );
        }
        match self.may_send() {
            May::Attach => Done::Waits,
            May::Not(line) => Done::Refused(line),
            May::Send => {
                self.note_passed(&plan, total);
                if plan.rewrites() {
                    Done::Rewritten(plan)
                } else {
                    Done::Forwarded
                }
            }
        }
    }

    /// Whether a command may go to the server now.
    pub(super) fn may_send(&mut self) -> May {
        if self.server.is_none() {
            return May::Attach;
        }
        // Work begins on a connection that stays with its client.
        if self.pending.is_empty() && !self.transaction.is_open() && self.stays.is_some() {
            if !self.is_isolated_as_before() {
                self.waits = Some(Waits::Quit);
                return May::Not(failure::outdated_line(&self.force));
            }
            if self.entry.steering.is_paused() {
                return May::Attach;
            }
            self.renew_force();
            if let Err(line) = self.may_begin() {
                return May::Not(line);
            }
            if !self.work.is_under_way() {
                self.work.run(Instant::now());
            }
        }
        May::Send
    }

    /// A command is refused. Inside of MULTI the server must refuse the transaction too: it is sent what it does not know, and the client
    /// hears the reason in the place of its answer.
    pub(super) fn refuse(&mut self, line: &str) {
        if !self.transaction.is_queueing() || self.server.is_none() {
            self.say_error(line);
            return;
        }
        self.factory.activity.count_error();
        self.note_begun();
        if let Some(owned) = &mut self.server {
            let out = owned.server.outbox.writer();
            push_array_header(out, 1);
            push_bulk(out, REFUSED);
        }
        let mut bytes = Vec::new();
        push_error(&mut bytes, line);
        self.pending.push(Due::Instead(bytes.into()));
    }

    pub(super) fn say_aftermath(&mut self, aftermath: Aftermath) {
        match aftermath {
            Aftermath::Error(line) => self.say_error(&line),
            Aftermath::Over => self.say(b"+OK\r\n"),
        }
    }

    /// The next command of the client's gets an error in the place of an answer.
    ///
    /// # Errors
    /// It breaks the protocol.
    pub(super) fn refuse_command(&mut self, line: &str) -> Result<(), Ending> {
        self.say_error(line);
        match self.walker.walk(self.inbox.bytes()) {
            Ok(RequestStep::Whole { len } | RequestStep::Nothing { len }) => self.pass_over(len),
            Ok(RequestStep::Long(head)) => self.drop_rest(head),
            Ok(RequestStep::More) => {}
            Err(error) => return Err(Ending::Told(format!("ERR {error}"))),
        }
        Ok(())
    }
}
