//! Breakers: work that keeps failing is refused at once for a while, then tried with a few probes.
//!
//! ```text
//! Closed ──(`failures` within `window`)──→ Open ──(`open` has passed)──→ HalfOpen ──(`halfOpenProbes` succeed)──→ Closed
//!                                           ↑                              │
//!                                           └───────(a probe fails)────────┘
//! ```
//!
//! [`Breaker`] is the machine: no I/O and no clock, the moment is an argument. [`users`] keeps one for each user whose own work
//! is in trouble, [`upstream`] one for each upstream, shared by all workers; what counts against whom is [`charge`]'s to say.

pub mod charge;
pub mod upstream;
pub mod users;

use std::collections::VecDeque;
use std::time::Duration;

use bulkhead_crds::effective::EffectiveBreaker;
use tokio::time::Instant;

use crate::telemetry::BreakerState;

/// What who is refused beside probes under way is told to wait: they end in about the time of one piece of work.
const WHILE_PROBED: Duration = Duration::from_secs(1);

/// One breaker.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Counts the times that it was half open, so that a late probe is not taken for one of the present.
    round: u64,
}

#[derive(Debug)]
enum State {
    /// Work passes. The failures of the last `window`, the oldest first, never more than `failures`.
    Closed(VecDeque<Instant>),
    /// Work is refused.
    Open { until: Instant },
    /// Probes pass.
    HalfOpen {
        since: Instant,
        under_way: u32,
        succeeded: u32,
    },
}

/// Leave to begin a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Like any other.
    Free,
    /// As a probe of this round. Its end must be told: [`Breaker::succeeded`], [`Breaker::failed`] or [`Breaker::abandoned`].
    Probe(u64),
}

/// Work is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// After which time to try again.
    pub after: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed(VecDeque::new()),
            round: 0,
        }
    }
}

impl Breaker {
    /// How it stands.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Asks to begin a piece of work.
    ///
    /// # Errors
    /// When to try again.
    pub fn admit(&mut self, limits: &EffectiveBreaker, now: Instant) -> Result<Pass, Refused> {
        self.pass_time(limits, now);
        match &mut self.state {
            State::Closed(_) => Ok(Pass::Free),
            State::Open { until } => Err(Refused {
                after: until.saturating_duration_since(now),
            }),
            State::HalfOpen {
                under_way,
                succeeded,
                ..
            } if *under_way + *succeeded < limits.half_open_probes => {
                *under_way += 1;
                Ok(Pass::Probe(self.round))
            }
            State::HalfOpen { .. } => Err(Refused {
                after: WHILE_PROBED,
            }),
        }
    }

    /// Whether work would be refused now; changes nothing but what time changes, and takes no probe.
    ///
    /// # Errors
    /// When to try again.
    pub fn look(&mut self, limits: &EffectiveBreaker, now: Instant) -> Result<(), Refused> {
        if let Pass::Probe(round) = self.admit(limits, now)? {
            self.abandoned(Pass::Probe(round));
        }
        Ok(())
    }

    /// A piece of work has succeeded. A free one says nothing: the caller decides whether it [clears](Self::clear).
    pub fn succeeded(&mut self, limits: &EffectiveBreaker, pass: Pass) {
        let Some((under_way, succeeded)) = self.probes_of(pass) else {
            return;
        };
        *under_way = under_way.saturating_sub(1);
        *succeeded += 1;
        if *succeeded >= limits.half_open_probes {
            self.state = State::Closed(VecDeque::new());
        }
    }

    /// A piece of work has failed. One that began before the breaker opened says nothing new.
    pub fn failed(&mut self, limits: &EffectiveBreaker, pass: Pass, now: Instant) {
        if self.probes_of(pass).is_some() {
            self.open(limits, now);
            return;
        }
        let State::Closed(failures) = &mut self.state else {
            return;
        };
        forget_old(failures, limits, now);
        failures.push_back(now);
        if failures.len() >= limits.failures as usize {
            self.open(limits, now);
        }
    }

    /// A piece of work has ended without saying anything: its client went away.
    pub fn abandoned(&mut self, pass: Pass) {
        if let Some((under_way, _)) = self.probes_of(pass) {
            *under_way = under_way.saturating_sub(1);
        }
    }

    /// Forgets the failures of a closed breaker.
    pub fn clear(&mut self) {
        if let State::Closed(failures) = &mut self.state {
            failures.clear();
        }
    }

    /// What time alone changes: an open one becomes half open after `open`; a half-open one that nobody has tried for `window`
    /// begins anew, closed.
    pub fn pass_time(&mut self, limits: &EffectiveBreaker, now: Instant) {
        match &mut self.state {
            State::Closed(failures) => forget_old(failures, limits, now),
            State::Open { until } if *until <= now => {
                self.round += 1;
                self.state = State::HalfOpen {
                    since: now,
                    under_way: 0,
                    succeeded: 0,
                };
            }
            State::HalfOpen {
                since,
                under_way: 0,
                ..
            } if *since + limits.window <= now => self.state = State::Closed(VecDeque::new()),
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    /// Whether there is nothing to remember: closed, without a failure in the window.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        matches!(&self.state, State::Closed(failures) if failures.is_empty())
    }

    /// Failures that are remembered while it is closed.
    #[must_use]
    pub fn failures(&self) -> usize {
        match &self.state {
            State::Closed(failures) => failures.len(),
            State::Open { .. } | State::HalfOpen { .. } => 0,
        }
    }

    /// How long it stays open, where it is.
    #[must_use]
    pub fn open_for(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { until } => Some(until.saturating_duration_since(now)),
            State::Closed(_) | State::HalfOpen { .. } => None,
        }
    }

    fn open(&mut self, limits: &EffectiveBreaker, now: Instant) {
        self.state = State::Open {
            until: now + limits.open,
        };
    }

    /// The probes under way and those that have succeeded, if `pass` is one of the present round.
    fn probes_of(&mut self, pass: Pass) -> Option<(&mut u32, &mut u32)> {
        match (&mut self.state, pass) {
            (
                State::HalfOpen {
                    under_way,
                    succeeded,
                    ..
                },
                Pass::Probe(round),
            ) if round == self.round => Some((under_way, succeeded)),
            _ => None,
        }
    }
}

/// Seconds as messages say them: whole, and never none.
#[must_use]
pub fn seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

fn forget_old(failures: &mut VecDeque<Instant>, limits: &EffectiveBreaker, now: Instant) {
    while failures
        .front()
        .is_some_and(|first| now.saturating_duration_since(*first) >= limits.window)
    {
        failures.pop_front();
    }
}

#[cfg(test)]
mod tests;
