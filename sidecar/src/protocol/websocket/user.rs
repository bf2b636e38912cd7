//! What one user has of one WebSocket entry, on the worker where they live: their sockets, the oldest first, the seats of those on their
//! way, how fast they may send, and one ledger of bytes for all of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bulkhead_crds::kinds::WhenFull;
use tokio::time::Instant;

use super::bucket::Bucket;
use super::credential::Credential;
use crate::identity::UserContext;
use crate::worker::{Handle, Signal};

/// A user's sockets.
#[derive(Debug, Default)]
pub struct UserSockets {
    open: RefCell<Vec<Open>>,
    coming: Cell<usize>,
    bucket: RefCell<Bucket>,
    held: Cell<u64>,
}

/// One of them.
#[derive(Debug)]
struct Open {
    handle: Rc<Handle>,
    /// None for a socket without a user.
    credential: Option<Rc<Credential>>,
}

/// `limits.connectionsPerUser` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl UserSockets {
    /// Keeps a seat for a socket that is on its way, if need be the seat of the user's oldest.
    ///
    /// # Errors
    /// There is none, and the policy says to reject.
    pub fn reserve(&self, limit: u32, when_full: WhenFull) -> Result<(), Full> {
        let limit = limit as usize;
        let mut open = self.open.borrow_mut();
        if open.len() + self.coming.get() >= limit {
            if when_full == WhenFull::Reject || open.is_empty() {
                return Err(Full);
            }
            // Those that have been told already give up their seats as well: they are no longer in the list.
            open.remove(0).handle.send(Signal::GiveWay);
        }
        self.coming.set(self.coming.get() + 1);
        Ok(())
    }

    /// A socket that was on its way has come.
    pub fn arrive(&self, handle: Rc<Handle>, credential: Option<Rc<Credential>>) {
        self.give_back();
        self.open.borrow_mut().push(Open { handle, credential });
    }

    /// Lets all open sockets of the user's login live by a fresh token, and says how many there are.
    pub fn renew(&self, fresh: &UserContext) -> usize {
        let open = self.open.borrow();
        let credentials = open.iter().filter_map(|open| open.credential.as_ref());
        credentials
            .filter(|credential| credential.renew(fresh).is_ok())
            .count()
    }

    /// A seat that was kept is not needed any more.
    pub fn give_back(&self) {
        self.coming.set(self.coming.get().saturating_sub(1));
    }

    /// A socket has ended.
    pub fn leave(&self, handle: &Rc<Handle>) {
        self.open
            .borrow_mut()
            .retain(|open| !Rc::ptr_eq(&open.handle, handle));
    }

    /// Takes one message's worth of what the user may send in a second.
    ///
    /// # Errors
    /// When it will be there.
    pub fn may_send(&self, rate: u32, now: Instant) -> Result<(), Instant> {
        self.bucket.borrow_mut().take(rate, now)
    }

    /// Bytes that all sockets of the user hold.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.get()
    }

    /// Counts bytes that are held from now on, or no longer.
    pub fn hold(&self, before: usize, now: usize) {
        let held = self.held.get() + now as u64;
        self.held.set(held.saturating_sub(before as u64));
    }

    /// Whether nothing is left of the user.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.open.borrow().is_empty() && self.coming.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn told(handle: &Handle) -> Option<Signal> {
        handle.take(&Context::from_waker(Waker::noop()))
    }

    fn sockets(count: usize) -> (UserSockets, Vec<Rc<Handle>>) {
        let sockets = UserSockets::default();
        let handles: Vec<Rc<Handle>> = (0..count).map(|_| Rc::default()).collect();
        for handle in &handles {
            sockets.reserve(u32::MAX, WhenFull::Reject).unwrap();
            sockets.arrive(Rc::clone(handle), None);
        }
        (sockets, handles)
    }

    #[test]
    fn the_oldest_gives_way_where_the_policy_says_so() {
        let (sockets, handles) = sockets(2);
        assert_eq!(sockets.reserve(2, WhenFull::CloseOldest), Ok(()));
        assert_eq!(told(&handles[0]), Some(Signal::GiveWay));
        assert_eq!(told(&handles[1]), None);
        // One that is on its way has no socket that could give way, but the user's next oldest has.
        assert_eq!(sockets.reserve(2, WhenFull::CloseOldest), Ok(()));
        assert_eq!(told(&handles[1]), Some(Signal::GiveWay));
        assert_eq!(sockets.reserve(2, WhenFull::CloseOldest), Err(Full));
    }

    #[test]
    fn a_seat_that_is_given_back_or_left_is_free_again() {
        let (sockets, handles) = sockets(1);
        assert_eq!(sockets.reserve(1, WhenFull::Reject), Err(Full));
        sockets.leave(&handles[0]);
        assert_eq!(sockets.reserve(1, WhenFull::Reject), Ok(()));
        assert_eq!(sockets.reserve(1, WhenFull::Reject), Err(Full));
        sockets.give_back();
        assert!(sockets.is_unused());
        assert_eq!(told(&handles[0]), None);
    }

    #[test]
    fn the_ledger_follows_every_socket() {
        let (sockets, _) = sockets(2);
        sockets.hold(0, 100);
        sockets.hold(0, 50);
        sockets.hold(100, 20);
        assert_eq!(sockets.held(), 70);
        sockets.hold(20, 0);
        sockets.hold(50, 0);
        assert_eq!(sockets.held(), 0);
    }
}
