//! The application's runs on this socket, followed where the policy limits them (`execution`).

use tokio::time::Instant;

use super::super::runs::{RunStep, Runs};
use super::{Ending, Initiator, Session};
use crate::execution::ExecutionState;
use crate::identity::UserId;
use crate::telemetry::UnfinishedRun;
use crate::worker::RunOver;

impl Session {
    /// The client has sent a message.
    #[inline]
    pub(super) fn client_asked(&mut self) {
        if self.runs.is_some() {
            let now = self.read_at;
            self.with_runs(|runs, tell| runs.asked(now).into_iter().for_each(tell));
        }
    }

    /// The application has sent an event. Its run is the one that it names, that of the user context, or the only one of the socket.
    pub(super) fn follow(&mut self, event: usize) {
        if self.runs.is_none() {
            return;
        }
        let (now, landmark) = (self.read_at, self.force.events.landmark(event));
        let reading = std::mem::take(&mut self.application.reading);
        let of_context = self.run_id.clone();
        let id = match reading.run_id() {
            "" => of_context.as_deref().unwrap_or_default(),
            id => id,
        };
        self.with_runs(|runs, tell| runs.event(id, landmark, now, tell));
        self.application.reading = reading;
    }

    /// A run has reached a limit of the policy, and the work in databases that belongs to it ends with it.
    pub(super) fn expire_runs(&mut self) {
        let now = Instant::now();
        let mut late: Vec<(Box<str>, &'static str)> = Vec::new();
        self.with_runs(|runs, tell| {
            runs.expire(now, &mut |step| {
                late.extend(step.limit.map(|limit| (step.id.into(), limit)));
                tell(step);
            });
        });
        let Some(socket) = self.id.clone() else {
            return;
        };
        let alone = self.runs.as_ref().is_some_and(|runs| runs.is_idle());
        for (id, limit) in late {
            let setting = self.named(limit).into();
            self.worker
                .end_run(&socket, &RunOver { id, setting }, alone);
        }
    }

    /// The socket has ended.
    pub(super) fn end_runs(&mut self, ending: Ending) {
        let how = match ending.initiator {
            // Nobody is left to say how they have ended.
            Initiator::Application => ExecutionState::Dead,
            Initiator::Client | Initiator::Sidecar => ExecutionState::Cancelled,
        };
        let now = Instant::now();
        self.with_runs(|runs, tell| runs.end(how, now, tell));
    }

    fn with_runs(&mut self, act: impl FnOnce(&mut Runs, &mut dyn FnMut(RunStep<'_>))) {
        let Some(mut runs) = self.runs.take() else {
            return;
        };
        act(&mut runs, &mut |step| {
            self.worker.process.metrics.execution(step.from, step.to);
            if step.to.is_final() {
                self.entry.metrics.run_ended(step.to);
            }
            if step.to.is_final() && step.to != ExecutionState::Completed {
                let user = self.user_id.as_ref();
                self.worker
                    .process
                    .metrics
                    .unfinished_runs
                    .add(UnfinishedRun {
                        user_id: user.map_or("unattributed", UserId::as_str).to_owned(),
                        upstream: self.force.name.to_string(),
                        run_id: step.id.to_owned(),
                        outcome: step.to,
                        age: step.age,
                        ended: std::time::Instant::now(),
                    });
            }
        });
        self.clocks.run = runs.next_limit();
        self.runs = Some(runs);
    }
}
