//! One piece of a client's work (a transaction, or a statement outside of one) as an execution, shown in the metrics.

use std::sync::Arc;

use crate::execution::ExecutionState;
use crate::telemetry::Metrics;

/// A piece of work that has not ended. Dropping it counts it as dead: nobody can say how it ended.
#[derive(Debug)]
pub struct Work {
    state: ExecutionState,
    metrics: Arc<Metrics>,
}

impl Work {
    /// Work that waits for a server connection.
    #[must_use]
    pub fn pending(metrics: &Arc<Metrics>) -> Self {
        metrics.execution(None, ExecutionState::Pending);
        Self {
            state: ExecutionState::Pending,
            metrics: Arc::clone(metrics),
        }
    }

    /// Work whose server connection was there at once.
    #[must_use]
    pub fn running(metrics: &Arc<Metrics>) -> Self {
        metrics.execution(None, ExecutionState::Running);
        Self {
            state: ExecutionState::Running,
            metrics: Arc::clone(metrics),
        }
    }

    /// Takes the next state; one that may not follow is passed over, and the work stays where it is.
    pub fn advance(&mut self, to: ExecutionState) {
        let from = self.state;
        if self.state.advance(to).is_ok() {
            self.metrics.execution(Some(from), to);
        }
    }

    /// The server has confirmed the end.
    pub fn complete(mut self) {
        let from = self.state;
        let through = self.state.advance(ExecutionState::Completing);
        if through
            .and_then(|()| self.state.advance(ExecutionState::Completed))
            .is_ok()
        {
            self.metrics
                .execution(Some(from), ExecutionState::Completed);
        }
    }

    /// It has ended otherwise.
    pub fn end(mut self, how: ExecutionState) {
        self.advance(how);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.state.is_final() {
            self.metrics
                .execution(Some(self.state), ExecutionState::Dead);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(metrics: &Metrics) -> Vec<(&'static str, i64)> {
        let all = ExecutionState::ALL.into_iter();
        let counted = all.map(|state| (state.as_str(), metrics.executions(state).get()));
        counted.filter(|(_, count)| *count != 0).collect()
    }

    #[test]
    fn work_is_counted_where_it_stands_and_where_it_ended() {
        let metrics = Metrics::new().unwrap();
        let mut waits = Work::pending(&metrics);
        let runs = Work::running(&metrics);
        assert_eq!(counts(&metrics), [("pending", 1), ("running", 1)]);
        waits.advance(ExecutionState::Starting);
        waits.advance(ExecutionState::Running);
        waits.complete();
        runs.end(ExecutionState::TimedOut);
        assert_eq!(counts(&metrics), [("completed", 1), ("timed_out", 1)]);
    }

    #[test]
    fn work_that_is_dropped_is_dead() {
        let metrics = Metrics::new().unwrap();
        drop(Work::pending(&metrics));
        assert_eq!(counts(&metrics), [("dead", 1)]);
    }
}
