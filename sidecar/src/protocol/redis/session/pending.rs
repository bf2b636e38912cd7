//! What is owed to a client, in the order of its commands: replies of the server's, and answers of the sidecar's that wait for their turn.
//! Pure.

use std::collections::VecDeque;

use super::super::client::Resp;
use super::super::commands::Shape;
use super::Stays;

/// What becomes of the next reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It passes.
    Pass,
    /// It passes, and was waited for on purpose (`BLPOP`): no limit of a command's holds for it.
    Blocking,
    /// It is read and written anew: keys lose their prefix.
    Shaped {
        /// Where it holds keys.
        shape: Shape,
        /// Whether it was waited for on purpose.
        blocking: bool,
    },
    /// It passes. Where it is an error, nothing was left behind, and the connection stays with its client only for what it did before.
    Pin {
        /// Why it did before.
        before: Option<Stays>,
        /// Why it does where it is no error.
        now: Stays,
    },
    /// It passes; where it is no error, another database is selected.
    Select(u32),
    /// It passes; where it is no error, the protocol's version is another.
    Hello(Resp),
    /// What was queued has replies of these shapes; a database that was selected inside the transaction is selected where it was executed.
    Exec(Option<u32>, Vec<Shape>),
    /// It answers a command of the sidecar's own, and nobody sees it.
    Own,
    /// The client is told this instead.
    Instead(Box<[u8]>),
    /// There is none: the client is told this.
    Said(Box<[u8]>),
    /// There is none: from here on confirmations and messages of subscriptions come (RESP2).
    Listens,
}

/// Entries beyond which a client is not read: what it sends while replies are owed must be kept somewhere.
const CROWD: usize = 4096;

/// The queue. Replies that pass, the common case, are only counted.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: VecDeque<(Due, u32)>,
}

impl Pending {
    /// Whether nothing is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether so much is owed that the client must wait before it may ask for more.
    #[inline]
    pub(super) fn is_crowded(&self) -> bool {
        self.queue.len() >= CROWD
    }

    /// One more reply that passes.
    #[inline]
    pub(super) fn push_pass(&mut self) {
        match self.queue.back_mut() {
            Some((Due::Pass, count)) => *count += 1,
            _ => self.queue.push_back((Due::Pass, 1)),
        }
    }

    /// Something else that is owed.
    pub(super) fn push(&mut self, due: Due) {
        match due {
            Due::Pass => self.push_pass(),
            due => self.queue.push_back((due, 1)),
        }
    }

    /// What the next reply is, or what is to be said.
    #[inline]
    pub(super) fn head(&self) -> Option<&Due> {
        self.queue.front().map(|(due, _)| due)
    }

    /// The same, for whoever takes something out of it.
    #[inline]
    pub(super) fn head_mut(&mut self) -> Option<&mut Due> {
        self.queue.front_mut().map(|(due, _)| due)
    }

    /// Whether no limit of a command's holds for what is waited for now.
    pub(super) fn is_exempt(&self) -> bool {
        matches!(
            self.head(),
            Some(Due::Blocking | Due::Shaped { blocking: true, .. } | Due::Listens)
        )
    }

    /// The next is dealt with.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Due> {
        match self.queue.front_mut()? {
            (Due::Pass, count) if *count > 1 => {
                *count -= 1;
                Some(Due::Pass)
            }
            _ => {
                let popped = self.queue.pop_front().map(|(due, _)| due);
                // A burst is over: its queue is not kept for ever.
                if self.queue.is_empty() && self.queue.capacity() > 64 {
                    self.queue = VecDeque::new();
                }
                popped
            }
        }
    }

    /// No reply comes any more: what the client is told for each command that waits for one. `first_is_begun`: the reply at the front is
    /// under way, and is none of them.
    pub(super) fn fail(&mut self, first_is_begun: bool, line: &[u8], out: &mut Vec<u8>) {
        if first_is_begun {
            drop(self.pop());
        }
        for (due, count) in self.queue.drain(..) {
            match due {
                Due::Own | Due::Listens => {}
                Due::Said(bytes) | Due::Instead(bytes) => out.extend_from_slice(&bytes),
                _ => (0..count).for_each(|_| out.extend_from_slice(line)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Pending {
        Pending::default()
    }

    #[test]
    fn replies_come_in_the_order_of_the_commands() {
        let mut pending = queue();
        pending.push_pass();
        pending.push_pass();
        pending.push(Due::Said(b"+OK\r\n".as_slice().into()));
        pending.push_pass();
        assert_eq!(pending.pop(), Some(Due::Pass));
        assert_eq!(pending.pop(), Some(Due::Pass));
        assert!(matches!(pending.pop(), Some(Due::Said(_))));
        assert_eq!(pending.pop(), Some(Due::Pass));
        assert_eq!(pending.pop(), None);
        assert!(pending.is_empty());
    }

    #[test]
    fn every_command_that_waits_is_told_once_why_no_reply_comes() {
        let mut pending = queue();
        pending.push(Due::Own);
        pending.push_pass();
        pending.push_pass();
        pending.push(Due::Said(b"+S\r\n".as_slice().into()));
        pending.push(Due::Instead(b"-I\r\n".as_slice().into()));
        pending.push(Due::Select(3));
        let mut out = Vec::new();
        pending.fail(false, b"-E\r\n", &mut out);
        assert_eq!(out, b"-E\r\n-E\r\n+S\r\n-I\r\n-E\r\n");
        assert!(pending.is_empty());
    }

    #[test]
    fn a_reply_that_is_under_way_is_not_answered_twice() {
        let mut pending = queue();
        pending.push_pass();
        pending.push_pass();
        let mut out = Vec::new();
        pending.fail(true, b"-E\r\n", &mut out);
        assert_eq!(out, b"-E\r\n");
    }

    #[test]
    fn replies_that_pass_make_no_crowd_and_others_do() {
        let mut pending = queue();
        for _ in 0..10 * CROWD {
            pending.push_pass();
        }
        assert!(!pending.is_crowded());
        for _ in 0..CROWD {
            pending.push(Due::Said(b"+OK\r\n".as_slice().into()));
        }
        assert!(pending.is_crowded());
    }

    #[test]
    fn only_what_is_waited_for_on_purpose_is_exempt() {
        let mut pending = queue();
        assert!(!pending.is_exempt());
        pending.push_pass();
        pending.push(Due::Blocking);
        assert!(!pending.is_exempt());
        drop(pending.pop());
        assert!(pending.is_exempt());
    }
}
