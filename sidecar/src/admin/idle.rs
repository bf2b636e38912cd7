//! Since when a connection has asked for nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One connection's: the moment, or nothing while an answer is being made.
#[derive(Debug)]
pub(super) struct Idle(Mutex<Option<Instant>>);

/// While this lives, the connection is not idle.
#[derive(Debug)]
pub(super) struct Working(Arc<Idle>);

impl Idle {
    /// Idle from now on.
    pub(super) fn now() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }

    /// An answer is being made until the guard is dropped.
    pub(super) fn pause(self: &Arc<Self>) -> Working {
        *self.since() = None;
        Working(Arc::clone(self))
    }

    /// For how long it has been idle; `None` while it is not.
    pub(super) fn for_how_long(&self, now: Instant) -> Option<Duration> {
        self.since()
            .map(|since| now.saturating_duration_since(since))
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        *self.0.since() = Some(Instant::now());
    }
}
