//! When a client was last there: for whoever wonders whether an application goes round the sidecar.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The moment at which a client last came or went.
#[derive(Debug)]
pub(super) struct LastClient {
    since: Instant,
    /// Milliseconds after `since`.
    at: AtomicU64,
}

impl Default for LastClient {
    /// Nobody has come yet: counted from now.
    fn default() -> Self {
        Self {
            since: Instant::now(),
            at: AtomicU64::new(0),
        }
    }
}

impl LastClient {
    pub(super) fn seen(&self) {
        self.at.fetch_max(self.now(), Ordering::Relaxed);
    }

    /// How long ago that was.
    pub(super) fn ago(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.at.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
