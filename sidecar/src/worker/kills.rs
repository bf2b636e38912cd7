//! Whom operators have ended, one after the other: how KILL USER reaches those who are in no worker's list yet.
//!
//! Who says for which user it comes takes the moment along, through the rest of its handshake and the letters between workers. Where it
//! enters a worker's list, that worker looks at what has been told since.
//!
//! A kill is told here before it is told to the user's worker. So whoever has said who they are before the operator has an answer is
//! reached: they are in the list when the worker hears of it, or find it here when they come. Nothing is kept that nobody can ask for.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Handle, Signal, Worker};
use crate::identity::UserId;

/// Where the next kill is told. Its lock is held for as long as a pointer is copied.
#[derive(Debug, Default)]
pub struct Kills(Mutex<Moment>);

/// What has been told from one moment on. It keeps all of that alive, so it is let go of when its owner has entered a list.
#[derive(Clone, Debug, Default)]
pub struct Moment(Arc<Link>);

/// A place between two kills.
#[derive(Debug, Default)]
struct Link(OnceLock<(Kill, Moment)>);

#[derive(Debug)]
struct Kill {
    user: UserId,
    upstream: Option<Arc<str>>,
}

impl Kills {
    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// A user's connections end, on one entry or on all of them.
    pub fn tell(&self, user: &UserId, upstream: Option<&Arc<str>>) {
        let kill = Kill {
            user: user.clone(),
            upstream: upstream.map(Arc::clone),
        };
        let next = Moment::default();
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, next.clone());
        drop(now);
        // Each place is the present one once, so what follows it is said once.
        let _ = before.0.0.set((kill, next));
    }
}

impl Moment {
    /// Whether this user's connections to this entry have been ended since.
    #[must_use]
    pub fn is_over_for(&self, user: &UserId, upstream: &str) -> bool {
        let mut at = self;
        while let Some((kill, next)) = at.0.0.get() {
            let on = kill.upstream.as_deref();
            if kill.user == *user && on.is_none_or(|on| on == upstream) {
                return true;
            }
            at = next;
        }
        false
    }
}

impl Drop for Link {
    /// One place after the other: each inside the last one's end would need as much stack as there are.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some((_, moment)) = next {
            next = Arc::into_inner(moment.0).and_then(|mut link| link.0.take());
        }
    }
}

impl Worker {
    /// Tells a session to end that has just entered the list, where its user was killed since it said who that is.
    pub(super) fn end_if_killed(&self, handle: &Handle, since: &Moment) {
        let who = handle.badge.who();
        let killed = who.as_ref().is_some_and(|who| {
            let user = who.user();
            user.is_some_and(|user| since.is_over_for(user, who.upstream()))
        });
        if killed {
            handle.send(Signal::Killed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    #[test]
    fn a_kill_concerns_who_came_before_it_and_nobody_who_comes_after() {
        let (kills, main) = (Kills::default(), Arc::from("main"));
        let before = kills.now();
        kills.tell(&user("bob"), None);
        let between = kills.now();
        kills.tell(&user("alice"), Some(&main));
        let after = kills.now();
        for (moment, bob, alice) in [
            (&before, true, true),
            (&between, false, true),
            (&after, false, false),
        ] {
            assert_eq!(moment.is_over_for(&user("bob"), "chat"), bob);
            assert_eq!(moment.is_over_for(&user("alice"), "main"), alice);
            assert!(!moment.is_over_for(&user("alice"), "chat"));
        }
    }

    #[test]
    fn what_nobody_can_ask_for_is_kept_no_longer() {
        let kills = Kills::default();
        let first = kills.now();
        for _ in 0..100_000 {
            kills.tell(&user("alice"), None);
        }
        let second = Arc::downgrade(&first.0.0.get().unwrap().1.0);
        assert!(second.upgrade().is_some());
        drop(first);
        assert!(second.upgrade().is_none());
    }
}
