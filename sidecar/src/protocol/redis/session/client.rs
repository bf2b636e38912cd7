//! The client's side: what it has sent, command by command, as far as that can be dealt with now. Never waits.

use super::super::client::Choices;
use super::super::codec::{RequestError, RequestStep};
use super::judging::Done;
use super::{Ending, Flow, Session, Waits};

/// Bytes of a command that is looked at whole.
const WHOLE: usize = 64 * 1024;

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
    pub(super) fn send_run(&mut self, run: &mut usize) {
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
    pub(super) fn pass_over(&mut self, len: usize) {
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
