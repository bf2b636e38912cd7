//! What one user has of one WebSocket entry, on the worker where they live: their sockets, the oldest first, the seats of those on their
//! way, how fast they may send, and one ledger of bytes for all of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bulkhead_crds::kinds::WhenFull;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::bucket::Bucket;
use super::credential::Credential;
use crate::identity::UserContext;
use crate::worker::{Handle, Signal};

/// A user's sockets.
#[derive(Debug, Default)]
pub struct UserSockets {
    open: RefCell<Vec<Open>>,
    coming: RefCell<VecDeque<Coming>>,
    /// Seats that have ever been kept.
    kept: Cell<u64>,
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

/// One on its way.
#[derive(Debug)]
struct Coming {
    number: u64,
    /// Tells its handshake that the place is another's.
    gives_way: oneshot::Sender<Ousted>,
}

/// The place of one on its way.
#[derive(Debug)]
pub struct Place {
    /// Which one of the user's.
    pub number: u64,
    /// Told when it is this one's no more.
    pub taken: oneshot::Receiver<Ousted>,
}

/// Why a socket on its way has no place any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ousted {
    /// A newer one has taken it.
    ByNewer,
    /// An operator has ended the connections of the user.
    Killed,
}

/// `limits.connectionsPerUser` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl UserSockets {
    /// Keeps a seat for a socket that is on its way, if need be the seat of the user's oldest: one that is open before one that is on its way
    /// too.
    ///
    /// # Errors
    /// There is none, and the policy says to reject.
    pub fn reserve(&self, limit: u32, when_full: WhenFull) -> Result<Place, Full> {
        let limit = limit as usize;
        let (mut open, mut coming) = (self.open.borrow_mut(), self.coming.borrow_mut());
        if open.len() + coming.len() >= limit {
            if when_full == WhenFull::Reject {
                return Err(Full);
            }
            // Those that have been told already give up their seats as well: they are no longer in the lists.
            if open.is_empty() {
                let oldest = coming.pop_front().ok_or(Full)?;
                // A handshake that is over meanwhile finds its place gone when it arrives.
                let _ = oldest.gives_way.send(Ousted::ByNewer);
            } else {
                open.remove(0).handle.send(Signal::GiveWay);
            }
        }
        let number = self.kept.get();
        self.kept.set(number + 1);
        let (gives_way, taken) = oneshot::channel();
        coming.push_back(Coming { number, gives_way });
        Ok(Place { number, taken })
    }

    /// A socket that was on its way has come. One whose place a newer one has taken is told to go at once.
    pub fn arrive(
        &self,
        number: Option<u64>,
        handle: Rc<Handle>,
        credential: Option<Rc<Credential>>,
    ) {
        if number.is_some_and(|number| !self.give_back(number)) {
            handle.send(Signal::GiveWay);
            return;
        }
        self.open.borrow_mut().push(Open { handle, credential });
    }

    /// Lets all open sockets of the user's login live by a fresh token, and says how many there are.
    pub fn renew(&self, fresh: &UserContext) -> usize {
        let open = self.open.borrow();
        let renewed = open.iter().filter(|open| {
            let credential = open.credential.as_ref();
            credential.is_some_and(|credential| credential.renew(fresh).is_ok())
        });
        renewed
            .inspect(|open| open.handle.badge.renew(fresh))
            .count()
    }

    /// Nobody comes who is on their way: how many those are.
    pub fn turn_back(&self) -> u64 {
        let coming = std::mem::take(&mut *self.coming.borrow_mut());
        let mut told = 0;
        for one in coming {
            // A handshake that is over meanwhile is told when it arrives.
            told += u64::from(one.gives_way.send(Ousted::Killed).is_ok());
        }
        told
    }

    /// A seat that was kept is not needed any more. Whether it was still this one's.
    pub fn give_back(&self, number: u64) -> bool {
        let mut coming = self.coming.borrow_mut();
        let at = coming.iter().position(|one| one.number == number);
        at.and_then(|at| coming.remove(at)).is_some()
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

    /// Sockets that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.borrow().len()
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
        self.open.borrow().is_empty() && self.coming.borrow().is_empty()
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
            let place = sockets.reserve(u32::MAX, WhenFull::Reject).unwrap();
            sockets.arrive(Some(place.number), Rc::clone(handle), None);
        }
        (sockets, handles)
    }

    #[test]
    fn the_oldest_gives_way_where_the_policy_says_so() {
        let (sockets, handles) = sockets(2);
        let mut first = sockets.reserve(2, WhenFull::CloseOldest).unwrap();
        assert_eq!(told(&handles[0]), Some(Signal::GiveWay));
        assert_eq!(told(&handles[1]), None);
        // What is open goes before what is on its way,
        let mut second = sockets.reserve(2, WhenFull::CloseOldest).unwrap();
        assert_eq!(told(&handles[1]), Some(Signal::GiveWay));
        assert!(first.taken.try_recv().is_err());
        // and where nothing is open, the oldest on its way does.
        let third = sockets.reserve(2, WhenFull::CloseOldest).unwrap();
        assert_eq!(first.taken.try_recv(), Ok(Ousted::ByNewer));
        assert!(second.taken.try_recv().is_err());
        // It has arrived all the same, between two looks: its place is another's.
        let (late, newer) = (Rc::<Handle>::default(), Rc::<Handle>::default());
        sockets.arrive(Some(first.number), Rc::clone(&late), None);
        sockets.arrive(Some(third.number), Rc::clone(&newer), None);
        assert_eq!(told(&late), Some(Signal::GiveWay));
        assert_eq!(told(&newer), None);
        assert!(sockets.give_back(second.number));
        assert!(!sockets.give_back(first.number), "given up before");
    }

    #[test]
    fn a_seat_that_is_given_back_or_left_is_free_again() {
        let (sockets, handles) = sockets(1);
        assert!(sockets.reserve(1, WhenFull::Reject).is_err());
        sockets.leave(&handles[0]);
        let place = sockets.reserve(1, WhenFull::Reject).unwrap();
        assert!(sockets.reserve(1, WhenFull::Reject).is_err());
        sockets.give_back(place.number);
        assert!(sockets.is_unused());
        assert_eq!(told(&handles[0]), None);
    }

    #[test]
    fn who_is_on_their_way_is_turned_back_and_leaves_no_place() {
        let (sockets, handles) = sockets(1);
        let mut place = sockets.reserve(2, WhenFull::Reject).unwrap();
        let gone = sockets.reserve(3, WhenFull::Reject).unwrap();
        drop(gone);
        assert_eq!(sockets.turn_back(), 1);
        assert_eq!(place.taken.try_recv(), Ok(Ousted::Killed));
        assert!(!sockets.give_back(place.number));
        assert_eq!(told(&handles[0]), None, "that is the worker's to say");
        assert!(sockets.reserve(2, WhenFull::Reject).is_ok());
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
