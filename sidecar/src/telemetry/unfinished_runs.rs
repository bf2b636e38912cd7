//! Runs of applications that have ended without having been completed, the last so many: for whoever asks on the control socket. They name
//! users, so that they are no metrics.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::execution::ExecutionState;

/// So many are kept, the newest.
pub const MOST_UNFINISHED: usize = 200;

/// The last runs that were not completed.
#[derive(Debug, Default)]
pub struct UnfinishedRuns {
    runs: Mutex<VecDeque<UnfinishedRun>>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedRun {
    /// Whose it was.
    pub user_id: String,
    /// The policy's name for the WebSocket entry.
    pub upstream: String,
    /// Its id; empty where the application has named none.
    pub run_id: String,
    /// How it ended.
    pub outcome: ExecutionState,
    /// For how long it had been under way.
    pub age: Duration,
    /// When it ended.
    pub ended: Instant,
}

impl UnfinishedRuns {
    /// Keeps one, if need be in the place of the oldest. Takes a lock: for an end, not for a message.
    pub fn add(&self, run: UnfinishedRun) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() >= MOST_UNFINISHED {
            runs.pop_front();
        }
        runs.push_back(run);
    }

    /// The newest first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<UnfinishedRun> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let runs = UnfinishedRuns::default();
        for number in 0..=MOST_UNFINISHED {
            runs.add(UnfinishedRun {
                user_id: "alice".to_owned(),
                upstream: "chat".to_owned(),
                run_id: number.to_string(),
                outcome: ExecutionState::Dead,
                age: Duration::ZERO,
                ended: Instant::now(),
            });
        }
        let kept = runs.snapshot();
        assert_eq!(kept.len(), MOST_UNFINISHED);
        assert_eq!(kept[0].run_id, MOST_UNFINISHED.to_string());
        assert_eq!(kept[MOST_UNFINISHED - 1].run_id, "1");
    }
}
