//! One deadline over all stages of a dial.
//!
//! Lives here: stopping a stage at the deadline, and dividing what is left between addresses. May not live here: how long the
//! deadline is, and what a stage does.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::error::{ConnectError, Endpoint, Stage};

/// When the dial began and when it has to be over.
#[derive(Clone, Copy)]
pub(super) struct Clock<'a> {
    at: &'a Arc<Endpoint>,
    started: Instant,
    deadline: Instant,
}

impl<'a> Clock<'a> {
    /// Begins now.
    pub(super) fn new(at: &'a Arc<Endpoint>, deadline: Instant) -> Self {
        Self {
            at,
            started: Instant::now(),
            deadline,
        }
    }

    /// Runs one stage, at most up to the deadline; dropped there, it leaves nothing open.
    pub(super) async fn within<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let outcome = timeout_at(self.deadline, work).await;
        outcome.unwrap_or_else(|_| {
            Err(ConnectError::DeadlineExceeded {
                at: Arc::clone(self.at),
                stage,
                elapsed: self.started.elapsed(),
                attempts: Vec::new(),
            })
        })
    }

    /// What is left of the time.
    pub(super) fn left(&self) -> std::time::Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// How long the dial has taken.
    pub(super) fn elapsed(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// The same time, for another of the upstream's hosts.
    pub(super) fn of(self, at: &'a Arc<Endpoint>) -> Self {
        Self { at, ..self }
    }

    /// What one address or host gets of the time, where `others` are still to be tried.
    pub(super) fn share(self, others: usize) -> Self {
        let now = Instant::now();
        let left = self.deadline.saturating_duration_since(now);
        let parts = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        Self {
            deadline: now + left / parts,
            ..self
        }
    }
}
