//! Where sessions are: each in the list of the worker that serves it. A client's cancel key names the place of its login for good, so that
//! place is kept while the session is with another worker, and tells where.

use std::rc::Rc;

use super::mailbox::{Canceller, Letter};
use super::{Handle, Place, Signal, Worker};
use crate::protocol::postgres::handshake::CancelKey;

/// The slot of a session that is on its way: nobody has it.
const ON_ITS_WAY: usize = usize::MAX;

impl Worker {
    /// Registers a session, and gives its slot.
    pub fn enter_session(&self, handle: Rc<Handle>) -> usize {
        self.begin_session(&handle);
        self.sessions.borrow_mut().insert(handle)
    }

    /// Registers a session that has logged in here, and has been away, at its old place.
    pub fn come_home(&self, slot: usize, handle: Rc<Handle>) {
        self.begin_session(&handle);
        if let Some(kept) = self.sessions.borrow_mut().get_mut(slot) {
            *kept = handle;
        }
    }

    fn begin_session(&self, handle: &Handle) {
        self.process.session_begins();
        // One that was on its way when the signal went round has not heard it.
        if self.stopping.get() {
            handle.send(Signal::Stop);
        } else if *self.draining.borrow() {
            handle.send(Signal::Drain);
        }
    }

    /// A session goes on with another worker; it has logged in at `home`.
    pub fn send_session_away(&self, slot: usize, home: Place, to: usize) {
        if home.worker == self.index {
            let sessions = self.sessions.borrow();
            if let Some(handle) = sessions.get(slot) {
                handle.set_away(Place {
                    worker: to,
                    slot: ON_ITS_WAY,
                });
            }
        } else {
            self.sessions.borrow_mut().try_remove(slot);
        }
        self.process.session_ends();
    }

    /// Removes a session.
    pub fn leave_session(&self, slot: usize) {
        if self.sessions.borrow_mut().try_remove(slot).is_some() {
            self.process.session_ends();
        }
    }

    /// A session has ended that has logged in at `home`: nobody cancels it there any more.
    pub fn leave_home(&self, home: Place) {
        if home.worker != self.index {
            self.process.send(home.worker, Letter::Gone(home.slot));
        }
    }

    /// A session that has logged in here is at this place now.
    pub fn note_whereabouts(&self, slot: usize, now: Place) {
        if let Some(handle) = self.sessions.borrow().get(slot) {
            handle.set_away(now);
        }
    }

    /// A session that has logged in here has ended elsewhere.
    pub fn forget_place(&self, slot: usize) {
        let mut sessions = self.sessions.borrow_mut();
        if sessions
            .get(slot)
            .is_some_and(|handle| handle.away().is_some())
        {
            sessions.try_remove(slot);
        }
    }

    /// How many sessions are here.
    #[must_use]
    pub fn sessions(&self) -> usize {
        let sessions = self.sessions.borrow();
        let here = sessions
            .iter()
            .filter(|(_, handle)| handle.away().is_none());
        here.count()
    }

    /// Signals every session.
    pub fn signal_all(&self, signal: Signal) {
        for (_, handle) in self.sessions.borrow().iter() {
            handle.send(signal);
        }
    }

    /// Gives a cancel request whose key is right to the session, wherever it is.
    pub(super) fn cancel_wherever(&self, handle: &Handle, key: &CancelKey, canceller: Canceller) {
        match handle.away() {
            None => handle.cancel(canceller),
            Some(now) => {
                let letter = Letter::CancelAt {
                    slot: now.slot,
                    key: key.clone(),
                    canceller,
                };
                self.process.send(now.worker, letter);
            }
        }
    }

    /// A cancel request that has been passed on by the worker of the session's login. Where another session has the slot by now, the
    /// key is not its own.
    pub fn cancel_guest(&self, slot: usize, key: &CancelKey, canceller: Canceller) {
        if let Some(handle) = self.sessions.borrow().get(slot)
            && handle.away().is_none()
            && handle.accepts(key)
        {
            handle.cancel(canceller);
        }
    }
}
