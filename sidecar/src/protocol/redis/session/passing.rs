//! The rest of a command that is passed on before it has come whole.

use super::super::codec::TailStep;
use super::{Ending, Session};

impl Session {
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
