//! The application's runs on one socket, as its critical events show them: which are under way, and how each has ended. Pure.
//!
//! ```text
//! a client's message ─→ pending ─ first event ─→ running ─ last event ─→ completed
//!                          │ execution.start        │ execution.progress, execution.total, a failure, the socket's end
//!                          └──→ timed_out           └──→ failed · timed_out · cancelled · dead
//! ```

use std::time::Duration;

use bulkhead_crds::effective::EffectiveExecution;
use tokio::time::Instant;

use super::events::Landmark;
use crate::execution::ExecutionState;

/// Runs of one socket that are followed at once; of more, the one that has been quiet longest is given up as dead.
const MOST_RUNS: usize = 64;

/// The runs of one socket.
#[derive(Debug, Default)]
pub struct Runs {
    limits: EffectiveExecution,
    /// Since when the client waits for a run that has not shown itself.
    asked: Option<Instant>,
    under_way: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    id: Box<str>,
    began: Instant,
    /// When its last event came.
    moved: Instant,
}

/// A step of a run: out of which state, none where it is new, and into which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunStep<'a> {
    /// The run's id; empty where it has not shown itself, or has none.
    pub id: &'a str,
    /// The state that it was in.
    pub from: Option<ExecutionState>,
    /// The state that it takes.
    pub to: ExecutionState,
    /// For how long it has been there.
    pub age: Duration,
    /// The limit that it has reached, as a field of the policy's entry.
    pub limit: Option<&'static str>,
}

impl Run {
    /// It ends.
    fn ends(&self, to: ExecutionState, now: Instant) -> RunStep<'_> {
        RunStep {
            id: &self.id,
            from: Some(ExecutionState::Running),
            to,
            age: now.saturating_duration_since(self.began),
            limit: None,
        }
    }
}

/// A run that was asked for since then ends before it has shown itself.
fn ends_unseen(since: Instant, to: ExecutionState, now: Instant) -> RunStep<'static> {
    RunStep {
        id: "",
        from: Some(ExecutionState::Pending),
        to,
        age: now.saturating_duration_since(since),
        limit: None,
    }
}

impl Runs {
    /// No runs yet.
    #[must_use]
    pub const fn new(limits: EffectiveExecution) -> Self {
        Self {
            limits,
            asked: None,
            under_way: Vec::new(),
        }
    }

    /// The client has sent a message. Where none of its runs is under way and the policy says how soon one has to start, one is waited for.
    pub fn asked(&mut self, now: Instant) -> Option<RunStep<'static>> {
        if self.limits.start.is_none() || self.asked.is_some() || !self.under_way.is_empty() {
            return None;
        }
        self.asked = Some(now);
        Some(RunStep {
            id: "",
            from: None,
            to: ExecutionState::Pending,
            age: Duration::ZERO,
            limit: None,
        })
    }

    /// An event of a run: its first one makes it known.
    pub fn event(
        &mut self,
        id: &str,
        landmark: Landmark,
        now: Instant,
        tell: &mut dyn FnMut(RunStep<'_>),
    ) {
        let known = self.under_way.iter().position(|run| &*run.id == id);
        let at = known.unwrap_or_else(|| self.begin(id, now, tell));
        let to = match landmark {
            Landmark::Progress => {
                if let Some(run) = self.under_way.get_mut(at) {
                    run.moved = now;
                }
                return;
            }
            Landmark::Completed => ExecutionState::Completed,
            Landmark::Failed => ExecutionState::Failed,
            Landmark::Cancelled => ExecutionState::Cancelled,
        };
        tell(self.under_way.swap_remove(at).ends(to, now));
    }

    fn begin(&mut self, id: &str, now: Instant, tell: &mut dyn FnMut(RunStep<'_>)) -> usize {
        if self.under_way.len() >= MOST_RUNS {
            let quiet = self.under_way.iter().enumerate();
            if let Some((at, _)) = quiet.min_by_key(|(_, run)| run.moved) {
                let given_up = self.under_way.swap_remove(at);
                tell(given_up.ends(ExecutionState::Dead, now));
            }
        }
        let asked = self.asked.take().map(|_| ExecutionState::Pending);
        tell(RunStep {
            id,
            from: asked,
            to: ExecutionState::Running,
            age: Duration::ZERO,
            limit: None,
        });
        self.under_way.push(Run {
            id: id.into(),
            began: now,
            moved: now,
        });
        self.under_way.len() - 1
    }

    /// When a limit is reached next.
    #[must_use]
    pub fn next_limit(&self) -> Option<Instant> {
        let asked = self
            .asked
            .and_then(|since| Some(since + self.limits.start?));
        let runs = self
            .under_way
            .iter()
            .filter_map(|run| Some(self.limit_of(run)?.0));
        asked.into_iter().chain(runs).min()
    }

    /// The limit that a run reaches first, and when.
    fn limit_of(&self, run: &Run) -> Option<(Instant, &'static str)> {
        let at = |since: Instant, limit: Option<Duration>| limit.map(|limit| since + limit);
        let total = at(run.began, self.limits.total).map(|at| (at, "execution.total"));
        let progress = at(run.moved, self.limits.progress).map(|at| (at, "execution.progress"));
        total.into_iter().chain(progress).min_by_key(|(at, _)| *at)
    }

    /// Whether none is under way or waited for.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.asked.is_none() && self.under_way.is_empty()
    }

    /// Ends what has reached a limit.
    pub fn expire(&mut self, now: Instant, tell: &mut dyn FnMut(RunStep<'_>)) {
        if let (Some(since), Some(limit)) = (self.asked, self.limits.start)
            && since + limit <= now
        {
            self.asked = None;
            tell(RunStep {
                limit: Some("execution.start"),
                ..ends_unseen(since, ExecutionState::TimedOut, now)
            });
        }
        let mut at = 0;
        while let Some(run) = self.under_way.get(at) {
            let reached = self.limit_of(run).filter(|(limit, _)| *limit <= now);
            let Some((_, limit)) = reached else {
                at += 1;
                continue;
            };
            let late = self.under_way.swap_remove(at);
            tell(RunStep {
                limit: Some(limit),
                ..late.ends(ExecutionState::TimedOut, now)
            });
        }
    }

    /// The socket has ended, and all that is under way with it.
    pub fn end(&mut self, how: ExecutionState, now: Instant, tell: &mut dyn FnMut(RunStep<'_>)) {
        if let Some(since) = self.asked.take() {
            tell(ends_unseen(since, how, now));
        }
        for run in self.under_way.drain(..) {
            tell(run.ends(how, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExecutionState::{Cancelled, Completed, Dead, Failed, Pending, Running, TimedOut};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Runs, and what was told of them.
    struct Told {
        runs: Runs,
        start: Instant,
        steps: Vec<(Option<ExecutionState>, ExecutionState)>,
    }

    impl Told {
        fn new(start: Option<u32>, progress: Option<u32>, total: Option<u32>) -> Self {
            let limit = |seconds: Option<u32>| seconds.map(|it| SECOND * it);
            Self {
                runs: Runs::new(EffectiveExecution {
                    start: limit(start),
                    progress: limit(progress),
                    total: limit(total),
                }),
                start: Instant::now(),
                steps: Vec::new(),
            }
        }

        fn event(&mut self, at: u32, id: &str, landmark: Landmark) {
            let now = self.start + SECOND * at;
            let steps = &mut self.steps;
            self.runs
                .event(id, landmark, now, &mut |it| steps.push((it.from, it.to)));
        }

        fn expire(&mut self, at: u32) {
            let now = self.start + SECOND * at;
            let steps = &mut self.steps;
            self.runs
                .expire(now, &mut |it| steps.push((it.from, it.to)));
        }

        fn asked(&mut self, at: u32) -> Option<ExecutionState> {
            self.runs
                .asked(self.start + SECOND * at)
                .map(|step| step.to)
        }

        fn next(&self) -> Option<Duration> {
            self.runs.next_limit().map(|at| at - self.start)
        }

        fn took(&mut self) -> Vec<(Option<ExecutionState>, ExecutionState)> {
            std::mem::take(&mut self.steps)
        }
    }

    #[test]
    fn runs_are_told_apart_and_each_ends_once() {
        let mut told = Told::new(None, None, None);
        told.event(0, "a", Landmark::Progress);
        told.event(1, "b", Landmark::Progress);
        told.event(2, "a", Landmark::Progress);
        assert_eq!(told.took(), [(None, Running), (None, Running)]);
        told.event(3, "a", Landmark::Completed);
        told.event(3, "b", Landmark::Failed);
        let ends = [(Some(Running), Completed), (Some(Running), Failed)];
        assert_eq!(told.took(), ends);
        // One that shows itself by its end has been there.
        told.event(4, "c", Landmark::Cancelled);
        assert_eq!(told.took(), [(None, Running), (Some(Running), Cancelled)]);
        assert_eq!(told.next(), None);
    }

    #[test]
    fn a_run_that_was_asked_for_has_to_start_in_time() {
        let mut told = Told::new(Some(5), None, None);
        assert_eq!(told.asked(0), Some(Pending));
        assert_eq!(told.asked(1), None, "it is the same one");
        assert_eq!(told.next(), Some(SECOND * 5));
        told.event(4, "a", Landmark::Progress);
        assert_eq!(told.asked(4), None, "and it is under way");
        told.event(5, "a", Landmark::Completed);
        assert_eq!(
            told.took(),
            [(Some(Pending), Running), (Some(Running), Completed)]
        );
        assert_eq!(told.asked(6), Some(Pending));
        told.expire(10);
        assert_eq!(told.took(), []);
        told.expire(11);
        assert_eq!(told.took(), [(Some(Pending), TimedOut)]);
        assert_eq!(told.next(), None);
    }

    #[test]
    fn a_run_has_to_show_itself_now_and_then_and_to_end() {
        let mut told = Told::new(None, Some(3), Some(10));
        for at in [0, 2, 4, 6, 8] {
            told.event(at, "a", Landmark::Progress);
        }
        told.event(8, "b", Landmark::Progress);
        assert_eq!(told.next(), Some(SECOND * 10));
        told.took();
        told.expire(10);
        assert_eq!(told.took(), [(Some(Running), TimedOut)]);
        assert_eq!(told.next(), Some(SECOND * 11));
        told.expire(11);
        assert_eq!(told.took(), [(Some(Running), TimedOut)]);
    }

    #[test]
    fn what_is_under_way_ends_with_its_socket() {
        let mut told = Told::new(Some(1), None, None);
        told.asked(0);
        told.event(0, "a", Landmark::Progress);
        told.event(0, "b", Landmark::Progress);
        told.took();
        let steps = &mut told.steps;
        told.runs
            .end(Dead, told.start, &mut |it| steps.push((it.from, it.to)));
        told.runs
            .end(Dead, told.start, &mut |it| steps.push((it.from, it.to)));
        assert_eq!(told.took(), [(Some(Running), Dead); 2]);
    }

    #[test]
    fn a_socket_with_countless_runs_has_no_more_than_so_many() {
        let mut told = Told::new(None, None, None);
        for number in 0..=MOST_RUNS as u32 {
            told.event(number, &number.to_string(), Landmark::Progress);
        }
        assert_eq!(told.runs.under_way.len(), MOST_RUNS);
        let steps = told.took();
        assert_eq!(steps[MOST_RUNS], (Some(Running), Dead));
        assert_eq!(steps[MOST_RUNS + 1], (None, Running));
    }
}
