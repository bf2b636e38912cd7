//! One piece of a client's work (a transaction, or a statement outside of one) as an execution, shown in the metrics.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use crate::execution::ExecutionState;
use crate::telemetry::Metrics;
use crate::worker::Handle;

/// A session's work: none, or the piece that is under way. One that is dropped under way counts as dead: nobody can say how
/// it ended.
#[derive(Debug)]
pub struct Work {
    state: Option<ExecutionState>,
    /// Shows it.
    handle: Rc<Handle>,
    metrics: Arc<Metrics>,
}

impl Work {
    /// No work yet.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>, handle: &Rc<Handle>) -> Self {
        Self {
            state: None,
            handle: Rc::clone(handle),
            metrics: Arc::clone(metrics),
        }
    }

    /// Whether a piece is under way.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.state.is_some()
    }

    /// A piece begins: `Pending` where it waits for a server connection, `Running` where it has one. One that is under way
    /// is dead.
    pub fn begin(&mut self, at: ExecutionState, now: Instant) {
        self.end(ExecutionState::Dead);
        self.metrics.execution(None, at);
        self.state = Some(at);
        self.handle.badge.begin(at, now);
    }

    /// It waits for a server connection; a piece that waits already goes on waiting.
    pub fn wait(&mut self, now: Instant) {
        if self.state != Some(ExecutionState::Pending) {
            self.begin(ExecutionState::Pending, now);
        }
    }

    /// It has a server connection: what has waited for one, or a piece that begins.
    pub fn run(&mut self, now: Instant) {
        if self.state == Some(ExecutionState::Pending) {
            self.advance(ExecutionState::Starting);
            self.advance(ExecutionState::Running);
        } else {
            self.begin(ExecutionState::Running, now);
        }
    }

    /// Takes the next state; one that may not follow is passed over, and the work stays where it is.
    pub fn advance(&mut self, to: ExecutionState) {
        let Some(state) = &mut self.state else {
            return;
        };
        let from = *state;
        if state.advance(to).is_ok() {
            self.metrics.execution(Some(from), to);
            self.handle.badge.advance(to);
        }
    }

    /// The server has confirmed the end.
    pub fn complete(&mut self) {
        self.handle.badge.end();
        self.handle.badge.rest();
        let Some(from) = self.state.take() else {
            return;
        };
        let mut state = from;
        let through = state.advance(ExecutionState::Completing);
        let ended = through.and_then(|()| state.advance(ExecutionState::Completed));
        let to = if ended.is_ok() {
            ExecutionState::Completed
        } else {
            ExecutionState::Dead
        };
        self.metrics.execution(Some(from), to);
    }

    /// It has ended otherwise.
    pub fn end(&mut self, how: ExecutionState) {
        self.advance(how);
        self.state = None;
        self.handle.badge.end();
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.end(ExecutionState::Dead);
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
        let (handle, now) = (Rc::default(), Instant::now());
        let (mut waits, mut runs) = (Work::new(&metrics, &handle), Work::new(&metrics, &handle));
        waits.begin(ExecutionState::Pending, now);
        runs.begin(ExecutionState::Running, now);
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
        let mut work = Work::new(&metrics, &Rc::default());
        work.begin(ExecutionState::Pending, Instant::now());
        drop(work);
        assert_eq!(counts(&metrics), [("dead", 1)]);
    }
}
