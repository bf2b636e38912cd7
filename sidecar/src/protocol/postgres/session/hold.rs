//! When a client's messages wait although they have come.
//!
//! A few bytes of a client's can mean a big text for a server that does not know its statement yet: while much stands in wait
//! for the server, the rest of what the client has sent waits too. And behind a DEALLOCATE or DISCARD nobody can say which
//! statements there are until it has been answered: whatever the client has sent behind it is dealt with then. A goodbye waits
//! for the end of the work that it stands behind, as it does at a server. And while a cancel request is under way nothing more
//! is sent: a late one would hit what it was not meant for.

use std::task::Context;

use super::Session;
use super::replies::Replies;
use crate::relay::Outbox;

/// Bytes that stand in wait for a server before its client's next message is dealt with.
const STANDING: usize = 64 * 1024;

/// Why a client's messages wait.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Whether messages stand in the inbox that could be dealt with otherwise.
    held: bool,
    /// Whether what has been sent last must be answered first.
    barrier: bool,
    /// Whether the client has said goodbye.
    leaving: bool,
}

impl Hold {
    /// What follows waits until everything before it has been answered.
    pub(super) const fn until_answered(&mut self) {
        self.barrier = true;
    }

    /// What follows does not wait for an answer any more.
    pub(super) const fn for_nothing(&mut self) {
        self.barrier = false;
    }

    /// What the client has been told must reach it before it waits for anything else.
    pub(super) const fn until_taken(&mut self) {
        self.held = true;
    }

    /// The client has said goodbye behind work that has not ended.
    pub(super) const fn until_work_ends(&mut self) {
        self.leaving = true;
        self.held = true;
    }

    /// Whether the client has said goodbye, and need not be there any more for its work to end.
    pub(super) const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether messages stand in the inbox that could be dealt with otherwise: the client is not read on.
    pub(super) const fn is_held(&self) -> bool {
        self.held
    }

    fn judge(&mut self, server: Option<(&Outbox, &Replies)>, cancelling: bool) -> bool {
        let Some((outbox, replies)) = server else {
            self.barrier = false;
            return false;
        };
        self.barrier &= replies.is_outstanding();
        cancelling
            || self.barrier
            || outbox.len() > STANDING
            || (self.leaving && replies.owes_an_end())
    }
}

impl Session {
    /// Whether the client's next message waits.
    pub(super) fn must_hold(&mut self) -> bool {
        let server = self.server.as_ref().map(|owned| &*owned.server);
        let cancelling = server.is_some_and(|server| server.cancels.is_under_way());
        let server = server.map(|server| (&server.outbox, &server.backend.replies));
        self.hold.held = self.hold.judge(server, cancelling);
        self.hold.held
    }

    /// Whether messages that were held can be dealt with now; else the end of a cancel request looks again.
    pub(super) fn may_resume(&mut self, cx: &Context<'_>) -> bool {
        if !self.hold.held {
            return false;
        }
        if let Some(owned) = &self.server {
            owned.server.cancels.wake_at_end(cx);
        }
        !self.must_hold()
    }
}

#[cfg(test)]
mod tests {
    use super::super::replies::Expect;
    use super::*;
    use crate::relay::Slab;

    #[test]
    fn a_message_waits_while_much_stands_before_it() {
        let (mut hold, replies) = (Hold::default(), Replies::default());
        let mut outbox = Outbox::new(Slab::default());
        outbox.push(&[0; STANDING]);
        assert!(!hold.judge(Some((&outbox, &replies)), false));
        outbox.push(&[0]);
        assert!(hold.judge(Some((&outbox, &replies)), false));
        assert!(!hold.judge(None, false));
    }

    #[test]
    fn a_message_waits_for_the_answer_to_what_may_change_its_meaning() {
        let (mut hold, mut replies) = (Hold::default(), Replies::default());
        let outbox = Outbox::new(Slab::default());
        replies.push(Expect::Query(None));
        assert!(!hold.judge(Some((&outbox, &replies)), false));
        hold.until_answered();
        assert!(hold.judge(Some((&outbox, &replies)), false));
        replies.clear();
        assert!(!hold.judge(Some((&outbox, &replies)), false));
        // The next one waits for nothing again.
        replies.push(Expect::Query(None));
        assert!(!hold.judge(Some((&outbox, &replies)), false));
    }

    #[test]
    fn a_message_waits_while_a_cancel_request_is_under_way() {
        let (mut hold, replies) = (Hold::default(), Replies::default());
        let outbox = Outbox::new(Slab::default());
        assert!(hold.judge(Some((&outbox, &replies)), true));
        assert!(!hold.judge(Some((&outbox, &replies)), false));
    }

    #[test]
    fn nobody_waits_for_a_server_that_has_gone() {
        let (mut hold, mut replies) = (Hold::default(), Replies::default());
        let outbox = Outbox::new(Slab::default());
        hold.until_answered();
        assert!(!hold.judge(None, false));
        replies.push(Expect::Query(None));
        assert!(!hold.judge(Some((&outbox, &replies)), false));
    }
}
