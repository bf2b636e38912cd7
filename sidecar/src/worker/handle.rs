//! What others on the worker can do to a session: wake it with a signal.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::factory::pool::Factory;

/// What a session is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A cancel request with this session's key has come.
    Cancel = 1,
    /// The sidecar drains: end at the next chance.
    Drain = 2,
    /// The grace period is over: end now.
    Stop = 4,
}

/// The outside of one session.
#[derive(Debug)]
pub struct Handle {
    /// The factory that serves it.
    pub factory: Rc<Factory>,
    secret: Box<[u8]>,
    signals: Cell<u8>,
    waker: RefCell<Option<Waker>>,
}

impl Handle {
    /// A handle whose cancel requests must carry `secret`.
    #[must_use]
    pub fn new(factory: Rc<Factory>, secret: Box<[u8]>) -> Self {
        Self {
            factory,
            secret,
            signals: Cell::new(0),
            waker: RefCell::new(None),
        }
    }

    /// Whether a cancel request carries the right secret; takes the same time whatever is wrong with it.
    #[must_use]
    pub fn accepts(&self, secret: &[u8]) -> bool {
        verify_slices_are_equal(&self.secret, secret).is_ok()
    }

    /// Leaves a signal and wakes the session.
    pub fn send(&self, signal: Signal) {
        self.signals.set(self.signals.get() | signal as u8);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Takes one signal, the most urgent first; without one, the session is woken by the next.
    pub fn take(&self, cx: &mut Context<'_>) -> Option<Signal> {
        let pending = self.signals.get();
        for signal in [Signal::Stop, Signal::Drain, Signal::Cancel] {
            if pending & signal as u8 != 0 {
                self.signals.set(pending & !(signal as u8));
                return Some(signal);
            }
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        None
    }
}
