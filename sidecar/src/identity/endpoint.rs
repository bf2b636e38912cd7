//! A key set that lives at an address: kept fresh, fetched once for all who wait, and never asked too often.
//!
//! Lives here: the schedule (pure, the time is passed in) and the one fetch at a time. May not live here: HTTP, and what
//! keys are used for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::fetch::Fetcher;
use super::jwk::Kinds;
use super::keys::KeySet;

/// Between fetches where the server does not say.
const USUAL: Duration = Duration::from_secs(600);

/// The most and the least that a server's `max-age` is followed: a key that is taken back is noticed within the hour.
const AGES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// Between two fetches for tokens with unknown keys.
const BETWEEN: Duration = Duration::from_secs(10);

/// The same while there is no key at all.
const BETWEEN_WITHOUT_KEYS: Duration = Duration::from_secs(1);

/// The longest wait after failures.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// The address and the keys last read from it.
pub(super) struct Endpoint {
    fetcher: Fetcher,
    kinds: Kinds,
    keys: ArcSwap<KeySet>,
    /// Held by the one that fetches.
    turn: tokio::sync::Mutex<()>,
    schedule: Mutex<Schedule>,
}

/// When to fetch next, and when a fetch may be asked for.
#[derive(Debug)]
struct Schedule {
    due: Instant,
    finished: Option<Instant>,
    failures: u32,
}

impl Schedule {
    fn new(now: Instant) -> Self {
        Self {
            due: now,
            finished: None,
            failures: 0,
        }
    }

    /// Whether an unknown key is reason enough to fetch at `now`.
    fn may_fetch(&self, now: Instant, without_keys: bool) -> bool {
        let between = if without_keys {
            BETWEEN_WITHOUT_KEYS
        } else {
            BETWEEN
        };
        self.finished
            .is_none_or(|finished| now.duration_since(finished) >= between)
    }

    /// Whether a fetch has ended since `asked`, whose result is then as good as one's own.
    fn answered_since(&self, asked: Instant) -> bool {
        self.finished.is_some_and(|finished| finished >= asked)
    }

    fn succeeded(&mut self, now: Instant, max_age: Option<Duration>) {
        let (least, most) = AGES;
        *self = Self {
            due: now + max_age.unwrap_or(USUAL).clamp(least, most),
            finished: Some(now),
            failures: 0,
        };
    }

    fn failed(&mut self, now: Instant) {
        let backoff = Duration::from_secs(1 << self.failures.min(10)).min(LONGEST_BACKOFF);
        *self = Self {
            due: now + backoff,
            finished: Some(now),
            failures: self.failures.saturating_add(1),
        };
    }
}

impl Endpoint {
    /// Nothing is fetched yet.
    pub(super) fn new(fetcher: Fetcher, kinds: Kinds) -> Self {
        Self {
            fetcher,
            kinds,
            keys: ArcSwap::from_pointee(KeySet::empty()),
            turn: tokio::sync::Mutex::new(()),
            schedule: Mutex::new(Schedule::new(Instant::now())),
        }
    }

    /// The keys last read.
    pub(super) fn keys(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// Takes over the keys of the same address from a verifier that this one replaces, where they are better than none.
    pub(super) fn take_over(&self, previous: &Self) {
        if self.fetcher.uri() == previous.fetcher.uri() && self.keys().is_empty() {
            self.keys.store(previous.keys.load_full());
        }
    }

    /// Fetches, unless that was done a moment ago; returns when there is nothing more to wait for. Dropping the future gives
    /// up the waiting, not the fetch: others may wait for it too.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let asked = Instant::now();
        if !self.schedule().may_fetch(asked, self.keys().is_empty()) {
            return;
        }
        let endpoint = Arc::clone(self);
        let fetch = tokio::spawn(async move { endpoint.fetch(asked).await });
        // It fails only where the runtime ends, and then nobody waits for keys.
        let _ = fetch.await;
    }

    /// Fetches whenever it is due, until nobody uses the endpoint any more.
    pub(super) async fn keep_fresh(endpoint: Weak<Self>) {
        loop {
            let Some(present) = endpoint.upgrade() else {
                return;
            };
            let (now, due) = (Instant::now(), present.schedule().due);
            if due <= now {
                present.fetch(now).await;
            } else {
                // Nothing is held while it sleeps; and a fetch for an unknown key may move the date meanwhile.
                drop(present);
                tokio::time::sleep_until(due).await;
            }
        }
    }

    async fn fetch(&self, asked: Instant) {
        let _turn = self.turn.lock().await;
        if self.schedule().answered_since(asked) {
            return;
        }
        match self.read().await {
            Ok((keys, max_age)) => {
                self.store(keys);
                self.schedule().succeeded(Instant::now(), max_age);
            }
            Err(error) => {
                let kept = !self.keys().is_empty();
                tracing::warn!(uri = %self.fetcher.uri(), %error, kept, "the key set could not be fetched");
                self.schedule().failed(Instant::now());
            }
        }
    }

    /// Why no keys can be read from the address now.
    pub(super) async fn problem(&self) -> Option<String> {
        let error = self.read().await.err()?;
        Some(format!("{}: {error}", self.fetcher.uri()))
    }

    async fn read(&self) -> Result<(KeySet, Option<Duration>), String> {
        let fetched = self.fetcher.get().await.map_err(|e| e.to_string())?;
        let keys = KeySet::parse(&fetched.body, self.kinds).map_err(|e| e.to_string())?;
        Ok((keys, fetched.max_age))
    }

    /// Puts new keys in force; the same document leaves the old set, and what it has verified, in place.
    fn store(&self, keys: KeySet) {
        if keys.same_document(&self.keys()) {
            return;
        }
        tracing::info!(uri = %self.fetcher.uri(), keys = ?keys, left_out = ?keys.skipped(), "a new key set is in force");
        self.keys.store(Arc::new(keys));
    }

    /// Whether a fetch is under way.
    #[cfg(test)]
    pub(super) fn is_fetching(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_asked_for_at_intervals() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        assert!(schedule.may_fetch(start, true), "the first is free");
        schedule.succeeded(start, None);
        assert!(!schedule.may_fetch(start + BETWEEN - Duration::from_millis(1), false));
        assert!(schedule.may_fetch(start + BETWEEN, false));
        assert!(
            schedule.may_fetch(start + BETWEEN_WITHOUT_KEYS, true),
            "sooner while nobody can come in"
        );
    }

    #[test]
    fn a_servers_age_is_followed_within_bounds() {
        let start = Instant::now();
        let due = |age: Option<u64>| {
            let mut schedule = Schedule::new(start);
            schedule.succeeded(start, age.map(Duration::from_secs));
            (schedule.due - start).as_secs()
        };
        assert_eq!(
            [due(None), due(Some(0)), due(Some(300)), due(Some(86_400))],
            [600, 60, 300, 3600]
        );
    }

    #[test]
    fn failures_are_retried_ever_later_until_a_success() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        let mut waits = Vec::new();
        for _ in 0..8 {
            schedule.failed(start);
            waits.push((schedule.due - start).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        schedule.succeeded(start, None);
        schedule.failed(start);
        assert_eq!(schedule.due - start, Duration::from_secs(1));
    }

    #[test]
    fn who_waited_for_a_fetch_shares_its_result() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        assert!(!schedule.answered_since(start));
        schedule.failed(start + Duration::from_secs(1));
        assert!(schedule.answered_since(start));
        assert!(!schedule.answered_since(start + Duration::from_secs(2)));
    }
}
