//! The breaker of one upstream, shared by all workers: trouble in reaching it.
//!
//! Asked and told once a dial, never by a transaction that finds its connection open. A dial that succeeds clears what has
//! failed before: an upstream that lets somebody in is not away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_crds::effective::EffectiveBreaker;
use tokio::time::Instant;

use super::{Breaker, Pass, Refused};
use crate::telemetry::{BreakerScope, BreakerState, UpstreamMetrics};

/// The breaker of one upstream.
#[derive(Debug)]
pub struct UpstreamBreaker {
    breaker: Mutex<Breaker>,
    metrics: Arc<UpstreamMetrics>,
}

/// A dial that may begin. Dropped without a word it says nothing about the upstream.
#[derive(Debug)]
pub struct Dial<'a> {
    of: &'a UpstreamBreaker,
    pass: Option<Pass>,
}

impl UpstreamBreaker {
    /// A closed one.
    #[must_use]
    pub fn new(metrics: Arc<UpstreamMetrics>) -> Arc<Self> {
        Arc::new(Self {
            breaker: Mutex::default(),
            metrics,
        })
    }

    /// Asks to dial.
    ///
    /// # Errors
    /// When to try again.
    pub fn dial(&self, limits: &EffectiveBreaker, now: Instant) -> Result<Dial<'_>, Refused> {
        let pass = self.change(|breaker| breaker.admit(limits, now))?;
        Ok(Dial {
            of: self,
            pass: Some(pass),
        })
    }

    /// Whether a dial would be refused now: asked before a client waits for the right to one.
    ///
    /// # Errors
    /// When to try again.
    pub fn look(&self, limits: &EffectiveBreaker, now: Instant) -> Result<(), Refused> {
        self.change(|breaker| breaker.look(limits, now))
    }

    /// Lets time pass, so that the metrics show what it has changed.
    pub fn pass_time(&self, limits: &EffectiveBreaker, now: Instant) {
        self.change(|breaker| breaker.pass_time(limits, now));
    }

    /// Begins anew: the upstream is another one.
    pub fn forget(&self) {
        self.change(|breaker| *breaker = Breaker::default());
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.lock().state()
    }

    /// Failures that it remembers while it is closed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.lock().failures()
    }

    /// How long it stays open, where it is.
    #[must_use]
    pub fn open_for(&self, now: Instant) -> Option<std::time::Duration> {
        self.lock().open_for(now)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.lock();
        let before = breaker.state();
        let result = change(&mut breaker);
        let after = breaker.state();
        if before != after {
            self.metrics.breaker(after);
        }
        drop(breaker);
        if before != after {
            self.tell(after);
        }
        result
    }

    fn tell(&self, state: BreakerState) {
        if state == BreakerState::Open {
            self.metrics.breaker_opened(BreakerScope::Upstream);
        }
        let state = state.as_str();
        self.metrics
            .clients
            .notice("breaker", |upstream, left_out| {
                tracing::warn!(
                    upstream,
                    state,
                    left_out,
                    "the upstream's breaker has changed its state"
                );
            });
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dial<'_> {
    /// There is a connection.
    pub fn succeeded(mut self, limits: &EffectiveBreaker) {
        if let Some(pass) = self.pass.take() {
            self.of.change(|breaker| {
                breaker.succeeded(limits, pass);
                breaker.clear();
            });
        }
    }

    /// The upstream could not be reached.
    pub fn failed(mut self, limits: &EffectiveBreaker, now: Instant) {
        if let Some(pass) = self.pass.take() {
            self.of.change(|breaker| breaker.failed(limits, pass, now));
        }
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.of.change(|breaker| breaker.abandoned(pass));
        }
    }
}
