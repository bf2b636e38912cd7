//! What an operator has said about one upstream, shared by all workers: that no transaction may begin, and that every server
//! connection is to be made anew.
//!
//! Asked once a transaction, by atomic loads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// One upstream's.
#[derive(Debug, Default)]
pub struct Steering {
    paused: AtomicBool,
    resumed: Notify,
    reconnects: AtomicU64,
}

impl Steering {
    /// Whether no transaction may begin.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// No transaction begins from now on. Whether that was not so already.
    pub fn pause(&self) -> bool {
        !self.paused.swap(true, Ordering::AcqRel)
    }

    /// Transactions may begin again. Whether they might not.
    pub fn resume(&self) -> bool {
        let was = self.paused.swap(false, Ordering::AcqRel);
        self.resumed.notify_waiters();
        was
    }

    /// Ready when transactions may begin. Cancel safe.
    pub async fn resumed(&self) {
        loop {
            // Asked for first: a resume in between is not missed.
            let resumed = self.resumed.notified();
            if !self.is_paused() {
                return;
            }
            resumed.await;
        }
    }

    /// Every server connection that is open now is of an older epoch from here on.
    pub fn reconnect(&self) {
        self.reconnects.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was said: part of the epoch.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn who_waits_goes_on_when_it_is_resumed_and_nobody_waits_without_a_pause() {
        let steering = Arc::new(Steering::default());
        steering.resumed().await;
        assert!(steering.pause() && !steering.pause());
        let waits = tokio::spawn({
            let steering = Arc::clone(&steering);
            async move { steering.resumed().await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        assert!(steering.resume() && !steering.resume());
        waits.await.unwrap();
    }

    #[test]
    fn each_reconnect_makes_a_new_epoch() {
        let steering = Steering::default();
        steering.reconnect();
        steering.reconnect();
        assert_eq!(steering.reconnects(), 2);
    }
}
