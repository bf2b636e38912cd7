//! What is left out for a client that does not read, where the policy says `limits.slowConsumer: Drop`: whole messages of the application
//! that are no critical events, from when the user's ledger is full until the client takes something again.

use super::super::codec::Step;
use super::super::events::Verdict;
use super::Session;
use super::reading::Scan;
use crate::relay::BUFFER_BYTES;

/// By how many bytes the ledger may be exceeded by the rest of a message that was begun before it was full, and by control frames.
const OVER: u64 = 4 * BUFFER_BYTES as u64;

/// What becomes of what the application has sent while the ledger is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spare {
    /// It goes on all the same.
    Passes,
    /// It is a message that is left out.
    LeftOut,
    /// It may not be left out, and waits until the client takes something.
    Waits,
    /// Not enough of it has come.
    Unknown,
}

impl Session {
    /// Looks at what the application has sent next.
    pub(super) fn spare(&self) -> Spare {
        let application = &self.application;
        let first = application.unread().first().copied().unwrap_or_default();
        let is_control = application.walker.at_boundary() && first & 0x8 != 0;
        // What has been begun is ended, and control frames are small, but neither for ever.
        if is_control || !application.walker.between_messages() {
            return if self.user.held() <= self.force.settings.buffer_per_user + OVER {
                Spare::Passes
            } else {
                Spare::Waits
            };
        }
        match self.next_message() {
            Some(Verdict::Ordinary) => Spare::LeftOut,
            Some(_) => Spare::Waits,
            None => Spare::Unknown,
        }
    }

    /// What the application's next message is, as soon as enough of it has come.
    fn next_message(&self) -> Option<Verdict> {
        let events = &self.force.events;
        if events.is_empty() {
            return Some(Verdict::Ordinary);
        }
        let mut walker = self.application.walker.clone();
        let mut scan = Scan::new(events.clone());
        let mut unread = self.application.unread();
        loop {
            let len = match walker.step(unread) {
                Ok(Step::More) => return None,
                Ok(Step::Control(control)) => control.len,
                Ok(Step::Data {
                    len,
                    header,
                    payload,
                    ends,
                }) => {
                    let bytes = unread.get(..len).unwrap_or_default();
                    let verdict = scan.read(header.as_ref(), payload, bytes, ends);
                    if verdict.is_some() {
                        return verdict;
                    }
                    len
                }
                // It will be met where it stands.
                Err(_) => return Some(Verdict::Needed),
            };
            unread = unread.get(len..).unwrap_or_default();
        }
    }

    /// Bytes of a message that is left out have been walked over.
    pub(super) fn leave_out(&mut self, len: usize, ends: bool) {
        self.application.swallow(len);
        if ends {
            self.leaves_out = false;
            self.entry.metrics.dropped.inc();
        }
    }
}
