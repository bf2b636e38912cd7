//! Whether this sidecar wants new connections. Never a matter of the upstream: a database that is down is no reason to take
//! the application's pod out of its Service.

use std::sync::atomic::{AtomicBool, Ordering};

/// Two flags that the engine sets.
#[derive(Debug, Default)]
pub struct Readiness {
    listening: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// All listeners are bound.
    pub fn set_listening(&self) {
        self.listening.store(true, Ordering::Release);
    }

    /// The drain has begun; there is no way back.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the drain has begun.
    #[must_use]
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Ready, or why not.
    ///
    /// # Errors
    ///
    /// The reason, in a word or two.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.is_draining() {
            return Err("draining");
        }
        if !self.listening.load(Ordering::Acquire) {
            return Err("not listening yet");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_between_listening_and_draining() {
        let readiness = Readiness::default();
        assert_eq!(readiness.check(), Err("not listening yet"));
        readiness.set_listening();
        assert_eq!(readiness.check(), Ok(()));
        readiness.set_draining();
        assert_eq!(readiness.check(), Err("draining"));
    }
}
