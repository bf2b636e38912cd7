//! Executions as the metrics show them: where those under way stand, how many have begun, and how those that are over have ended.

use std::sync::Arc;

use prometheus::Registry;

use super::family::Family;
use super::striped::{StripedCounter, StripedGauge};
use crate::execution::ExecutionState;

/// The series of executions. A count is one atomic operation on a line of the thread's own.
#[derive(Debug)]
pub(super) struct Executions {
    states: Vec<Arc<StripedGauge>>,
    started: Arc<StripedCounter>,
}

impl Executions {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let family = Family::register(
            registry,
            "bulkhead_executions",
            "Executions: how many are in each of the first four states, how many have ended in each of the last five.",
            &["state"],
        )?;
        let states: Vec<_> = ExecutionState::ALL
            .iter()
            .map(|state| family.cell(&[state.as_str()], StripedGauge::default))
            .collect();
        let started = Family::register(
            registry,
            "bulkhead_executions_started_total",
            "Executions that have begun.",
            &[],
        )?;
        let finished = Family::register(
            registry,
            "bulkhead_executions_finished_total",
            "Executions that are over, by how they ended.",
            &["outcome"],
        )?;
        // Who has ended stays where it is: the gauge of a last state is a counter already.
        for end in ExecutionState::ALL.iter().filter(|it| it.is_final()) {
            let gauge = Arc::clone(&states[*end as usize]);
            let _ = finished.cell(&[end.as_str()], || StripedCounter::of(gauge));
        }
        Ok(Self {
            states,
            started: started.cell(&[], StripedCounter::default),
        })
    }

    /// An execution takes the state `to`, out of `from` or new.
    pub(super) fn moved(&self, from: Option<ExecutionState>, to: ExecutionState) {
        match from {
            Some(from) => self.states[from as usize].dec(),
            None => self.started.inc(),
        }
        self.states[to as usize].inc();
    }

    pub(super) fn in_state(&self, state: ExecutionState) -> &StripedGauge {
        &self.states[state as usize]
    }
}
