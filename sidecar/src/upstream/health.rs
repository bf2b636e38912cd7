//! Whether the upstream takes connections, as the dials find it: told in the log when that changes, and in between at most
//! once in a while.
//!
//! Lives here: when to speak. May not live here: any consequence. Clients are told with their own work.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::ConnectError;

/// Between two lines about failures.
const BETWEEN: Duration = Duration::from_secs(10);

/// What the dials of one connector have come to.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether a failure has been told that no success has followed.
    in_trouble: bool,
    told: Option<Instant>,
    left_out: u64,
}

impl Health {
    /// A connection was made.
    pub(super) fn succeeded(&self, entry: &str) {
        if self.ends_trouble() {
            tracing::info!(upstream = entry, "the upstream takes connections again");
        }
    }

    /// None was made.
    pub(super) fn failed(&self, entry: &str, error: &ConnectError) {
        let message = match error {
            // The client's own request, which says nothing about the upstream.
            ConnectError::Request { .. } => return,
            ConnectError::Credentials { .. }
            | ConnectError::Authentication { .. }
            | ConnectError::Server { .. }
            | ConnectError::Refused { .. } => "the upstream refuses a login",
            ConnectError::DeadlineExceeded { .. }
            | ConnectError::Resolve { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::NoHost { .. }
            | ConnectError::Tls { .. }
            | ConnectError::Protocol { .. } => "the upstream cannot be reached",
        };
        if let Some(left_out) = self.is_due(Instant::now()) {
            tracing::warn!(upstream = entry, %error, left_out, "{message}");
        }
    }

    fn ends_trouble(&self) -> bool {
        std::mem::take(&mut self.state().in_trouble)
    }

    /// Whether a failure is to be told now: then with the number of those that were left out since the last one.
    fn is_due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state();
        let quiet = |told| now.saturating_duration_since(told) < BETWEEN;
        if state.told.is_some_and(quiet) {
            state.left_out += 1;
            return None;
        }
        state.in_trouble = true;
        state.told = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_at_once_then_in_sum_and_its_end_once() {
        let (health, start) = (Health::default(), Instant::now());
        assert!(!health.ends_trouble(), "there was none");
        assert_eq!(health.is_due(start), Some(0));
        assert_eq!(health.is_due(start), None);
        assert_eq!(health.is_due(start + BETWEEN), Some(1));
        assert!(health.ends_trouble());
        assert!(!health.ends_trouble(), "it is told once");
    }

    #[test]
    fn an_upstream_that_comes_and_goes_fills_no_log() {
        let (health, start) = (Health::default(), Instant::now());
        assert_eq!(health.is_due(start), Some(0));
        assert!(health.ends_trouble());
        for _ in 0..5 {
            assert_eq!(health.is_due(start), None);
            assert!(!health.ends_trouble(), "its beginning was not told");
        }
    }
}
