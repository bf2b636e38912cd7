//! The breakers of one upstream's users on one worker: only of those whose own work is in trouble.
//!
//! A user whose work goes well has none, and costs nothing. One outlives its user's connections, or a storm would begin anew
//! with each reconnect; it is forgotten when it has nothing left to remember. Work that belongs to no user has no breaker
//! of this kind: it is many people's.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::effective::EffectiveBreaker;
use tokio::time::Instant;

use super::{Breaker, Pass, Refused, charge};
use crate::factory::key::Owner;
use crate::identity::UserId;
use crate::telemetry::{BreakerScope, BreakerState, TimeoutKind, UpstreamMetrics};

/// The breakers of one entry's users.
#[derive(Debug)]
pub struct UserBreakers {
    users: RefCell<HashMap<UserId, Rc<UserBreaker>, foldhash::fast::RandomState>>,
    /// Those that are not closed.
    tripped: Cell<usize>,
    metrics: Arc<UpstreamMetrics>,
}

#[derive(Debug)]
struct UserBreaker(RefCell<Breaker>);

/// A piece of a user's work, as their breaker sees it: charged at most once, whatever goes wrong in it, and perhaps a probe.
#[derive(Debug, Default)]
pub struct Attempt(Option<Box<Noted>>);

/// What a breaker knows of a piece of work: a probe, which decides whether it closes, or one that has failed. A probe that is dropped without
/// a word decides nothing.
#[derive(Debug)]
struct Noted {
    breaker: Rc<UserBreaker>,
    /// The probe's; none when it has been charged.
    pass: Option<Pass>,
}

/// One user's breaker, for who wants to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerRow {
    /// Whose.
    pub user: UserId,
    /// How it stands.
    pub state: BreakerState,
    /// Failures remembered while it is closed.
    pub failures: usize,
    /// How long it stays open, where it is.
    pub open_for: Option<Duration>,
}

impl UserBreakers {
    /// None yet.
    #[must_use]
    pub fn new(metrics: Arc<UpstreamMetrics>) -> Self {
        Self {
            users: RefCell::default(),
            tripped: Cell::new(0),
            metrics,
        }
    }

    /// Whether the owner's breaker may have something to say about work that begins now. One load while everybody is well.
    #[must_use]
    pub fn concern(&self, owner: &Owner) -> bool {
        self.tripped.get() > 0
            && self
                .of(owner)
                .is_some_and(|breaker| breaker.0.borrow().state() != BreakerState::Closed)
    }

    /// Asks to begin a piece of the owner's work; a probe where its breaker is half open. What an open one refuses is counted; where the policy
    /// does not enforce it (mode `Audit`), it passes all the same.
    ///
    /// # Errors
    /// When to try again.
    pub fn admit(
        &self,
        owner: &Owner,
        limits: &EffectiveBreaker,
        enforces: bool,
        now: Instant,
    ) -> Result<Attempt, Refused> {
        self.ask(owner, limits, now).or_else(|refused| {
            self.metrics.breaker_refused(BreakerScope::User);
            if enforces {
                Err(refused)
            } else {
                Ok(Attempt::default())
            }
        })
    }

    fn ask(
        &self,
        owner: &Owner,
        limits: &EffectiveBreaker,
        now: Instant,
    ) -> Result<Attempt, Refused> {
        if self.tripped.get() == 0 {
            return Ok(Attempt::default());
        }
        let Some(breaker) = self.of(owner) else {
            return Ok(Attempt::default());
        };
        let pass = self.change(&breaker, |breaker| breaker.admit(limits, now))?;
        let is_probe = matches!(pass, Pass::Probe(_));
        Ok(Attempt(is_probe.then(|| {
            Box::new(Noted {
                breaker,
                pass: Some(pass),
            })
        })))
    }

    /// A piece of the owner's own work has failed. What fails in it after that is the same failure.
    pub fn failed(
        &self,
        owner: &Owner,
        attempt: &mut Attempt,
        limits: &EffectiveBreaker,
        now: Instant,
    ) {
        let Some(user) = owner.user() else {
            return;
        };
        let pass = match &mut attempt.0 {
            None => Pass::Free,
            Some(noted) => match noted.pass.take() {
                Some(pass) => pass,
                None => return,
            },
        };
        let breaker = self.of(owner).unwrap_or_else(|| {
            let breaker = Rc::new(UserBreaker(RefCell::default()));
            let mut users = self.users.borrow_mut();
            users.insert(user.clone(), Rc::clone(&breaker));
            breaker
        });
        self.change(&breaker, |breaker| breaker.failed(limits, pass, now));
        attempt.0 = Some(Box::new(Noted {
            breaker,
            pass: None,
        }));
    }

    /// A clock of the sidecar's has run out on a piece of the owner's work: a failure of its own, where that clock is the user's.
    pub fn timed_out(
        &self,
        owner: &Owner,
        kind: TimeoutKind,
        attempt: &mut Attempt,
        limits: &EffectiveBreaker,
    ) {
        if charge::timeout_is_users(kind) {
            self.failed(owner, attempt, limits, Instant::now());
        }
    }

    /// A piece of work has ended, and what comes next is another one. One that has failed in a way that counts is no probe any more.
    pub fn ended(&self, attempt: &mut Attempt, limits: &EffectiveBreaker) {
        let Some(mut noted) = std::mem::take(attempt).0 else {
            return;
        };
        if let Some(pass) = noted.pass.take() {
            self.change(&noted.breaker, |breaker| breaker.succeeded(limits, pass));
        }
    }

    /// Forgets those that have nothing left to remember.
    pub fn sweep(&self, limits: &EffectiveBreaker, now: Instant) {
        if self.users.borrow().is_empty() {
            return;
        }
        self.users.borrow_mut().retain(|_, breaker| {
            self.change(breaker, |breaker| breaker.pass_time(limits, now));
            !breaker.0.borrow().is_quiet()
        });
    }

    /// All of them, in no order.
    #[must_use]
    pub fn rows(&self, now: Instant) -> Vec<BreakerRow> {
        let users = self.users.borrow();
        let rows = users.iter().map(|(user, breaker)| {
            let breaker = breaker.0.borrow();
            BreakerRow {
                user: user.clone(),
                state: breaker.state(),
                failures: breaker.failures(),
                open_for: breaker.open_for(now),
            }
        });
        rows.collect()
    }

    fn of(&self, owner: &Owner) -> Option<Rc<UserBreaker>> {
        self.users.borrow().get(owner.user()?).map(Rc::clone)
    }

    fn change<T>(&self, breaker: &UserBreaker, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = breaker.0.borrow_mut();
        let before = breaker.state();
        let result = change(&mut breaker);
        let after = breaker.state();
        if before != after {
            self.count(before, after);
        }
        result
    }

    fn count(&self, before: BreakerState, after: BreakerState) {
        if before != BreakerState::Closed {
            self.tripped.set(self.tripped.get().saturating_sub(1));
            self.metrics.user_breakers(before).dec();
        }
        if after != BreakerState::Closed {
            self.tripped.set(self.tripped.get() + 1);
            self.metrics.user_breakers(after).inc();
        }
        if after == BreakerState::Open {
            self.metrics.breaker_opened(BreakerScope::User);
        }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.0.borrow_mut().abandoned(pass);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::fixtures::Stage;

    const LIMITS: EffectiveBreaker = EffectiveBreaker {
        failures: 2,
        window: Duration::from_secs(10),
        open: Duration::from_secs(5),
        half_open_probes: 1,
    };

    fn user(name: &str) -> Owner {
        Owner::User(UserId::parse(name).unwrap())
    }

    #[tokio::test]
    async fn a_breaker_is_one_users_alone() {
        let stage = Stage::new(|_| {});
        let breakers = UserBreakers::new(Arc::clone(&stage.entry.metrics));
        let (alice, bob, now) = (user("alice"), user("bob"), Instant::now());
        for _ in 0..2 {
            breakers.failed(&alice, &mut Attempt::default(), &LIMITS, now);
        }
        let refused = breakers.admit(&alice, &LIMITS, true, now).unwrap_err();
        assert_eq!(refused.after, LIMITS.open);
        assert!(breakers.admit(&alice, &LIMITS, false, now).is_ok());
        assert!(breakers.concern(&alice) && !breakers.concern(&bob));
        assert!(
            breakers
                .admit(&bob, &LIMITS, true, now)
                .unwrap()
                .0
                .is_none()
        );
        let open = |state| breakers.metrics.user_breakers(state).get();
        assert_eq!(open(BreakerState::Open), 1);

        // A probe that is given up decides nothing; one that ends well closes it.
        let later = now + LIMITS.open;
        let attempt = breakers.admit(&alice, &LIMITS, true, later).unwrap();
        assert!(attempt.0.is_some());
        assert!(breakers.admit(&alice, &LIMITS, true, later).is_err());
        drop(attempt);
        let mut attempt = breakers.admit(&alice, &LIMITS, true, later).unwrap();
        breakers.ended(&mut attempt, &LIMITS);
        assert!(!breakers.concern(&alice));
        assert_eq!(
            (open(BreakerState::Open), open(BreakerState::HalfOpen)),
            (0, 0)
        );
        breakers.sweep(&LIMITS, later);
        assert_eq!(breakers.rows(later), []);
    }

    #[tokio::test]
    async fn a_piece_of_work_is_charged_once_and_the_next_one_again() {
        let stage = Stage::new(|_| {});
        let breakers = UserBreakers::new(Arc::clone(&stage.entry.metrics));
        let (alice, now, mut attempt) = (user("alice"), Instant::now(), Attempt::default());
        for kind in [
            TimeoutKind::Acquire,
            TimeoutKind::Statement,
            TimeoutKind::IdleInTransaction,
            TimeoutKind::Transaction,
        ] {
            breakers.timed_out(&alice, kind, &mut attempt, &LIMITS);
        }
        breakers.failed(&alice, &mut attempt, &LIMITS, now);
        assert_eq!(breakers.rows(now)[0].failures, 1);
        breakers.ended(&mut attempt, &LIMITS);
        breakers.failed(&alice, &mut attempt, &LIMITS, now);
        assert_eq!(breakers.rows(now)[0].open_for, Some(LIMITS.open));
    }

    #[tokio::test]
    async fn one_that_is_open_is_not_forgotten_before_its_time() {
        let stage = Stage::new(|_| {});
        let breakers = UserBreakers::new(Arc::clone(&stage.entry.metrics));
        let (alice, now) = (user("alice"), Instant::now());
        for _ in 0..2 {
            breakers.failed(&alice, &mut Attempt::default(), &LIMITS, now);
        }
        breakers.sweep(&LIMITS, now);
        assert_eq!(breakers.rows(now)[0].open_for, Some(LIMITS.open));
        breakers.sweep(&LIMITS, now + LIMITS.open);
        assert_eq!(breakers.rows(now)[0].state, BreakerState::HalfOpen);
        breakers.sweep(&LIMITS, now + LIMITS.open + LIMITS.window);
        assert_eq!(breakers.rows(now), []);
    }

    #[tokio::test]
    async fn work_of_nobodys_has_no_breaker() {
        let stage = Stage::new(|_| {});
        let breakers = UserBreakers::new(Arc::clone(&stage.entry.metrics));
        let now = Instant::now();
        for _ in 0..9 {
            breakers.failed(&Owner::Unattributed, &mut Attempt::default(), &LIMITS, now);
        }
        assert!(
            breakers
                .admit(&Owner::Unattributed, &LIMITS, true, now)
                .is_ok()
        );
        assert_eq!(breakers.rows(now), []);
    }
}
