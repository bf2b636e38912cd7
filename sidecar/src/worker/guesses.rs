//! How many wrong cancel keys are looked at: under protocol 3.0 a secret has four bytes, and four bytes can be guessed.
//!
//! Wrong keys count against the session that they name, so that nobody's guessing makes another session deaf. A thousand a second need
//! weeks for one session's secret. A flood over all sessions of a worker gets [`IN_ALL`] and then a few at each.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// Wrong keys for one session that are looked at in a second; then it is deaf until the second is over.
pub(super) const AT_ONE: u32 = 1_000;

/// Wrong keys for all sessions of a worker that are looked at in a second without counting more closely.
const IN_ALL: u32 = 10_000;

/// What one session gets in a second in which the worker has had more than that.
const AT_ONE_IN_A_FLOOD: u32 = 16;

const SECOND: Duration = Duration::from_secs(1);

/// Wrong keys in the current second.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    since: Cell<Option<Instant>>,
    wrong: Cell<u32>,
}

impl Guesses {
    /// Whether another key for the session with these guesses is looked at; `self` counts those of the whole worker.
    pub(super) fn allow(&self, of_session: &Self, now: Instant) -> bool {
        let limit = if self.wrong(now) < IN_ALL {
            AT_ONE
        } else {
            AT_ONE_IN_A_FLOOD
        };
        of_session.wrong(now) < limit
    }

    /// One more was wrong.
    pub(super) fn count(&self) {
        self.wrong.set(self.wrong.get().saturating_add(1));
    }

    fn wrong(&self, now: Instant) -> u32 {
        let began = self.since.get();
        if began.is_none_or(|began| now.saturating_duration_since(began) >= SECOND) {
            self.since.set(Some(now));
            self.wrong.set(0);
        }
        self.wrong.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(worker: &Guesses, session: &Guesses, times: u32, now: Instant) -> u32 {
        let mut looked_at = 0;
        for _ in 0..times {
            if worker.allow(session, now) {
                worker.count();
                session.count();
                looked_at += 1;
            }
        }
        looked_at
    }

    #[test]
    fn a_session_is_deaf_for_the_rest_of_the_second_only() {
        let (worker, session, now) = (Guesses::default(), Guesses::default(), Instant::now());
        assert_eq!(guess(&worker, &session, 5_000, now), AT_ONE);
        assert!(!worker.allow(&session, now + SECOND / 2));
        assert!(worker.allow(&session, now + SECOND));
    }

    #[test]
    fn a_flood_leaves_every_session_a_hearing() {
        let (worker, now) = (Guesses::default(), Instant::now());
        let sessions: Vec<_> = (0..40).map(|_| Guesses::default()).collect();
        let heard: Vec<_> = sessions
            .iter()
            .map(|session| guess(&worker, session, 5_000, now))
            .collect();
        assert_eq!(heard[..10], [AT_ONE; 10]);
        assert_eq!(heard[10..], [AT_ONE_IN_A_FLOOD; 30]);
        assert!(worker.allow(&Guesses::default(), now));
    }
}
