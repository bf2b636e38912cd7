//! What others on the worker can do to a session: wake it with a signal.

use std::cell::{Cell, OnceCell, RefCell};
use std::task::{Context, Poll, Waker};

use super::badge::Badge;
use super::guesses::Guesses;
use super::mailbox::Canceller;
use crate::protocol::postgres::message::CancelKey;
use crate::protocol::postgres::session::cancel_key;

/// What a session is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A cancel request with this session's key has come.
    Cancel = 1,
    /// The sidecar drains: end at the next chance.
    Drain = 2,
    /// The grace period is over: end now.
    Stop = 4,
    /// A newer socket of the same user takes this one's place.
    GiveWay = 8,
    /// The pod is not ready any more: WebSockets go, each at a moment of its own. Databases stay.
    Leave = 16,
    /// The WebSocket that the work is for has ended, and `isolation.onDisconnect` says Cancel: end now.
    Lost = 32,
    /// The same, and it says Drain: end at the next chance.
    Orphaned = 64,
    /// The client of a session that survives its connection has come back on another one.
    Returned = 128,
    /// The application's run that the work is for has reached a limit: its statement is cancelled, its transaction rolled back.
    RunOver = 256,
    /// An operator has ended all connections of the user: end now.
    Killed = 512,
    /// The user is cut off: end now, and say so.
    Revoked = 1024,
}

/// A session's place: a worker, and a slot of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The worker.
    pub worker: usize,
    /// The slot.
    pub slot: usize,
}

/// The outside of one session.
#[derive(Debug, Default)]
pub struct Handle {
    /// What the session shows of itself.
    pub badge: Badge,
    key: OnceCell<CancelKey>,
    /// Where the session is now that has logged in here; none where it is here.
    away: Cell<Option<Place>>,
    signals: Cell<u16>,
    waker: RefCell<Option<Waker>>,
    /// Whose cancel requests have come, and have not been dealt with.
    cancellers: RefCell<Vec<Canceller>>,
    /// Cancel keys that named this session and were wrong.
    pub(super) guesses: Guesses,
}

impl Handle {
    /// Gives the session the key that its cancel requests must carry; the first one counts.
    pub fn set_key(&self, key: CancelKey) {
        let _ = self.key.set(key);
    }

    /// The session has gone on to another worker.
    pub(super) fn set_away(&self, now: Place) {
        self.away.set(Some(now));
    }

    /// Where the session is, if not here.
    pub(super) const fn away(&self) -> Option<Place> {
        self.away.get()
    }

    /// The key; a session without one cannot be cancelled.
    #[must_use]
    pub fn key(&self) -> Option<&CancelKey> {
        self.key.get()
    }

    /// Whether its key is so short that it could be guessed.
    #[must_use]
    pub fn can_be_guessed(&self) -> bool {
        self.key().is_none_or(cancel_key::can_be_guessed)
    }

    /// Whether a cancel request carries this session's key; takes the same time whatever is wrong with it.
    #[must_use]
    pub fn accepts(&self, key: &CancelKey) -> bool {
        self.key().is_some_and(|own| own.matches(key))
    }

    /// Leaves a signal and wakes the session.
    pub fn send(&self, signal: Signal) {
        self.signals.set(self.signals.get() | signal as u16);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The same for a signal that says no more the second time. Whether it is the first, as far as the session has not taken it.
    pub fn send_once(&self, signal: Signal) -> bool {
        let is_first = self.signals.get() & signal as u16 == 0;
        if is_first {
            self.send(signal);
        }
        is_first
    }

    /// Takes a signal back that the session has not taken yet.
    pub fn withdraw(&self, signal: Signal) {
        self.signals.set(self.signals.get() & !(signal as u16));
    }

    /// Leaves the signal of a cancel request. `canceller` waits until it has been dealt with.
    pub fn cancel(&self, canceller: Canceller) {
        self.cancellers.borrow_mut().push(canceller);
        self.send(Signal::Cancel);
    }

    /// Those who wait for the cancel that has been signalled; dropping them says that it has been dealt with.
    #[must_use]
    pub fn take_cancellers(&self) -> Vec<Canceller> {
        self.cancellers.take()
    }

    /// Takes one signal, the most urgent first; without one, the session is woken by the next.
    pub fn take(&self, cx: &Context<'_>) -> Option<Signal> {
        let pending = self.signals.get();
        if pending == 0 {
            self.wake_with(cx);
            return None;
        }
        for signal in [
            Signal::Stop,
            Signal::Killed,
            Signal::Revoked,
            Signal::Lost,
            Signal::GiveWay,
            Signal::Drain,
            Signal::Leave,
            Signal::Orphaned,
            Signal::Returned,
            Signal::Cancel,
            Signal::RunOver,
        ] {
            if pending & signal as u16 != 0 {
                self.signals.set(pending & !(signal as u16));
                return Some(signal);
            }
        }
        self.wake_with(cx);
        None
    }

    /// The next signal wakes the task that polls now.
    fn wake_with(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        let known = waker.as_ref();
        if !known.is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Ready when the session is told to end now, which it stays told. A drain waits.
    pub fn poll_ended(&self, cx: &Context<'_>) -> Poll<Signal> {
        let pending = self.signals.get();
        for signal in [Signal::Stop, Signal::Killed, Signal::Revoked, Signal::Lost] {
            if pending & signal as u16 != 0 {
                return Poll::Ready(signal);
            }
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when the session is told something that ends a wait: to end now, or that its statement ends, which is taken.
    pub fn poll_interrupted(&self, cx: &Context<'_>) -> Poll<Signal> {
        let ended = self.poll_ended(cx);
        if ended.is_ready() {
            return ended;
        }
        let pending = self.signals.get();
        for signal in [Signal::Cancel, Signal::RunOver] {
            if pending & signal as u16 != 0 {
                self.signals.set(pending & !(signal as u16));
                return Poll::Ready(signal);
            }
        }
        Poll::Pending
    }
}
