//! The client's side: what it has sent, command by command, as far as that can be dealt with now. Never waits.

use tokio::time::Instant;

use super::super::client::Choices;
use super::super::codec::{
    Head, RequestError, RequestStep, push_array_header, push_bulk, push_error,
};
use super::super::commands::{Effect, Kept};
use super::super::plan::{Decision, Plan, decide};
use super::pending::Due;
use super::transaction::Aftermath;
use super::{Ending, Flow, Passing, Session, Waits};

/// A command that no server has: what it is sent in the place of one that is refused inside of MULTI.
const REFUSED: &[u8] = b"BULKHEAD.REFUSED";

/// Bytes of a command that is looked at whole.
const WHOLE: usize = 64 * 1024;

/// What becomes of a command.
enum Done {
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
    /// Deals with what the client has sent.
    ///
    /// # Errors
    /// The session's end.
    pub(super) fn client_bytes(&mut self) -> Result<Flow, Ending> {
        // Bytes in front that go to the server as they are: they are moved at once.
        let mut run = 0;
        let flow = loop {
            self.crowded = self.pending.is_crowded();
            if self.crowded {
                self.send_run(&mut run);
                break Flow::Continue;
            }
            if self.waits.is_some() {
                self.send_run(&mut run);
                if !self.pending.is_empty() {
                    break Flow::Continue;
                }
                match self.settled()? {
                    Some(flow) => break flow,
                    None => continue,
                }
            }
            if self.tail.is_some() {
                self.send_run(&mut run);
                if self.pass_tail()? {
                    continue;
                }
                break Flow::Continue;
            }
            let unread = self.inbox.bytes().get(run..).unwrap_or_default();
            let flow = match self.walker.walk(unread) {
                Ok(RequestStep::Whole { len }) => self.whole_command(&mut run, len)?,
                Ok(RequestStep::Long(head)) if head.index > 0 => self.long_command(&mut run, head),
                Ok(RequestStep::Nothing { len }) => {
                    self.send_run(&mut run);
                    self.pass_over(len);
                    None
                }
                Ok(RequestStep::More | RequestStep::Long(_)) => self.want_more(&mut run),
                Err(error) => {
                    self.send_run(&mut run);
                    self.break_off(error);
                    None
                }
            };
            if let Some(flow) = flow {
                break flow;
            }
        };
        self.release_if_settled();
        Ok(flow)
    }

    /// The command behind `run` bytes has not come whole. One of many arguments is passed on as it comes, as one of long ones is.
    fn want_more(&mut self, run: &mut usize) -> Option<Flow> {
        self.send_run(run);
        match self.walker.begun() {
            Some(head) if head.index > 0 && self.inbox.len() > WHOLE => {
                self.long_command(run, head)
            }
            Some(head) if self.inbox.len() > WHOLE => {
                self.refuse("ERR the name of this command is too long");
                self.drop_rest(head);
                None
            }
            _ => {
                self.make_room();
                Some(Flow::Continue)
            }
        }
    }

    /// Moves what goes to the server as it is.
    fn send_run(&mut self, run: &mut usize) {
        if *run == 0 {
            return;
        }
        if let Some(owned) = &mut self.server {
            let bytes = self.inbox.bytes().get(..*run).unwrap_or_default();
            owned.server.outbox.push(bytes);
            owned.server.note_sent(*run);
        }
        self.inbox.consume(*run);
        *run = 0;
    }

    /// Room for more of a command that must be seen whole, or of the header of an argument.
    pub(super) fn make_room(&mut self) {
        let there = self.inbox.len();
        if there >= crate::relay::BUFFER_BYTES / 2 {
            self.inbox.reserve(there * 2);
        }
    }

    /// The command at the front is dealt with.
    fn pass_over(&mut self, len: usize) {
        self.walker.next();
        self.inbox.consume(len);
    }

    /// A whole command, which stands behind `run` bytes. A flow where nothing more can be done now.
    fn whole_command(&mut self, run: &mut usize, len: usize) -> Result<Option<Flow>, Ending> {
        let done = self.judge(*run);
        if let Done::Forwarded = done {
            self.walker.next();
            *run += len;
            return Ok(None);
        }
        self.send_run(run);
        match done {
            Done::Forwarded | Done::More => {}
            Done::Rewritten(plan) => self.send_rewritten(&plan),
            Done::Kept(kept, arguments) => {
                if let Some(flow) = self.keep(kept, &arguments)? {
                    return Ok(Some(flow));
                }
            }
            Done::Refused(line) => self.refuse(&line),
            Done::Ended(aftermath) => self.say_aftermath(aftermath),
            Done::Waits => return Ok(Some(Flow::Attach)),
        }
        self.pass_over(len);
        Ok(None)
    }

    /// A command whose long argument has begun: it is passed on before it has come whole, or dropped as it comes.
    fn long_command(&mut self, run: &mut usize, head: Head) -> Option<Flow> {
        let done = self.judge(*run);
        self.send_run(run);
        match done {
            Done::Forwarded => {
                *run = head.len;
                self.send_run(run);
                self.pass_rest(Some(Plan::as_it_is()));
            }
            Done::Rewritten(plan) => {
                self.send_rewritten(&plan);
                self.send_header(&plan, head.index, head.length);
                self.inbox.consume(head.len);
                self.pass_rest(Some(plan));
            }
            Done::Kept(..) => {
                self.refuse("ERR an argument of this command is too long");
                self.drop_rest(head);
            }
            Done::Refused(line) => {
                self.refuse(&line);
                self.drop_rest(head);
            }
            Done::Ended(aftermath) => {
                self.say_aftermath(aftermath);
                self.drop_rest(head);
            }
            Done::Waits => return Some(Flow::Attach),
            Done::More if self.inbox.len() as u64 > self.force.policy.limits.memory_per_user => {
                let limit = self.force.policy.limits.memory_per_user;
                let setting = self.force.policy.name_field("limits.memoryPerUser", limit);
                self.refuse(&format!(
                    "ERR the keys of this command stand behind more than {setting} bytes"
                ));
                self.drop_rest(head);
            }
            Done::More => {
                self.make_room();
                return Some(Flow::Continue);
            }
        }
        None
    }

    /// What becomes of the command behind `run` bytes. One that may go to the server counts as sent.
    fn judge(&mut self, run: usize) -> Done {
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

    /// Writes those arguments of the command at the front that have come, as the server gets them.
    fn send_rewritten(&mut self, plan: &Plan) {
        let (Some(owned), Some(isolation)) = (&mut self.server, &self.isolation) else {
            return;
        };
        let command = self.walker.arguments(self.inbox.bytes());
        let out = owned.server.outbox.writer();
        let before = out.len();
        plan.write(&command, &isolation.prefix, out);
        let sent = out.len() - before;
        owned.server.note_sent(sent);
    }

    /// The header of an argument that passes as it comes.
    pub(super) fn send_header(&mut self, plan: &Plan, index: usize, length: u64) {
        if let (Some(owned), Some(isolation)) = (&mut self.server, &self.isolation) {
            let out = owned.server.outbox.writer();
            plan.write_header(index, length, &isolation.prefix, out);
        }
    }

    /// The rest of the command at the front goes to the server as it comes, or nowhere.
    fn pass_rest(&mut self, plan: Option<Plan>) {
        let tail = self.walker.into_tail();
        self.tail = tail.map(|tail| Passing { tail, plan });
    }

    fn drop_rest(&mut self, head: Head) {
        self.inbox.consume(head.len);
        self.pass_rest(None);
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

    /// Whether a command may go to the server now.
    pub(super) fn may_send(&mut self) -> May {
        if self.server.is_none() {
            return May::Attach;
        }
        // Work begins on a connection that stays with its client.
        if self.pending.is_empty() && !self.transaction.is_open() && self.stays.is_some() {
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

    fn say_aftermath(&mut self, aftermath: Aftermath) {
        match aftermath {
            Aftermath::Error(line) => self.say_error(&line),
            Aftermath::Over => self.say(b"+OK\r\n"),
        }
    }

    /// The client does not speak the protocol: it is told so behind what is owed, and not listened to any more.
    fn break_off(&mut self, error: RequestError) {
        self.say_error(&format!("ERR {error}"));
        self.waits = Some(Waits::Quit);
    }

    /// What waited until nothing was owed.
    ///
    /// # Errors
    /// The session's end.
    fn settled(&mut self) -> Result<Option<Flow>, Ending> {
        match self.waits.take() {
            None => Ok(None),
            Some(Waits::Identity) => Ok(Some(Flow::Identify)),
            Some(Waits::Quit) => Err(Ending::Quit),
            Some(Waits::Reset) => {
                self.choices = Choices::default();
                Err(Ending::Renewed)
            }
        }
    }
}
