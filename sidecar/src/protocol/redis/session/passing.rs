//! A command that goes to the server with other bytes than came, or before it has come whole.

use super::super::codec::{Head, TailStep};
use super::super::plan::Plan;
use super::judging::Done;
use super::{Ending, Flow, Passing, Session};

impl Session {
    /// Writes those arguments of the command at the front that have come, as the server gets them.
    pub(super) fn send_rewritten(&mut self, plan: &Plan) {
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
    fn send_header(&mut self, plan: &Plan, index: usize, length: u64) {
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

    pub(super) fn drop_rest(&mut self, head: Head) {
        self.inbox.consume(head.len);
        self.pass_rest(None);
    }

    /// A command whose long argument has begun: it is passed on before it has come whole, or dropped as it comes.
    pub(super) fn long_command(&mut self, run: &mut usize, head: Head) -> Option<Flow> {
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

    /// Goes on with the rest of a command. Whether it has ended.
    ///
    /// # Errors
    /// It breaks the protocol, and its beginning has gone on: nobody can say where it ends.
    pub(super) fn pass_tail(&mut self) -> Result<bool, Ending> {
        while let Some(mut passing) = self.tail.take() {
            let step = passing.tail.step(self.inbox.bytes());
            let step = step.map_err(|error| Ending::Told(format!("ERR {error}")))?;
            let mut ends = false;
            match step {
                TailStep::More => {
                    self.tail = Some(passing);
                    self.make_room();
                    return Ok(false);
                }
                TailStep::Header { len, index, length } => match &passing.plan {
                    Some(plan) if plan.rewrites() => {
                        self.send_header(plan, index, length);
                        self.inbox.consume(len);
                    }
                    plan => self.move_on(len, plan.is_some()),
                },
                TailStep::Body { len, ends: last } => {
                    self.move_on(len, passing.plan.is_some());
                    ends = last;
                }
            }
            if !ends {
                self.tail = Some(passing);
            }
        }
        Ok(true)
    }

    /// Bytes of the client's go to the server, or nowhere.
    fn move_on(&mut self, len: usize, forward: bool) {
        if let Some(owned) = &mut self.server
            && forward
        {
            let bytes = self.inbox.bytes().get(..len).unwrap_or_default();
            owned.server.outbox.push(bytes);
            owned.server.note_sent(len);
        }
        self.inbox.consume(len);
    }
}
