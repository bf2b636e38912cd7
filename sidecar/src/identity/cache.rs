//! Tokens that have been verified, so that the next connection of the same user costs a look and not a signature.
//!
//! Lives here: the bounded table. Entries are found by a keyed hash and believed only when the whole token is the same. Only
//! verified tokens enter. May not live here: verification.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use foldhash::quality::RandomState;

use super::user::UserContext;

/// Bytes of one of the two halves; above it the older half is forgotten.
const HALF_BYTES: usize = 8 * 1024 * 1024;

/// What an entry takes beside the token's text: the context and its ids, and the table's own share.
const ENTRY_BYTES: usize = 512;

/// A bounded table of verified tokens: two halves, of which the older is dropped whole when the younger is full, so that a
/// token in use stays and no lookup ever has to tidy up.
pub(super) struct Cache {
    halves: Mutex<Halves>,
    half_bytes: usize,
}

#[derive(Default)]
struct Halves {
    young: HashMap<Box<str>, Entry, RandomState>,
    old: HashMap<Box<str>, Entry, RandomState>,
    young_bytes: usize,
}

#[derive(Clone)]
struct Entry {
    context: UserContext,
    generation: u64,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self::with_bytes(HALF_BYTES)
    }

    fn with_bytes(half_bytes: usize) -> Self {
        Self {
            halves: Mutex::default(),
            half_bytes,
        }
    }

    /// The context of `token`, while it has not ended at `now` and the key set that verified it (`current` of its generation)
    /// is still in force.
    pub(super) fn get(
        &self,
        token: &str,
        now: SystemTime,
        current: impl Fn(u64) -> bool,
    ) -> Option<UserContext> {
        let mut halves = self.lock();
        let usable = |entry: &Entry| !entry.context.is_expired(now) && current(entry.generation);
        if let Some(entry) = halves.young.get(token) {
            if usable(entry) {
                return Some(entry.context.clone());
            }
            halves.young.remove(token);
            halves.young_bytes = halves.young_bytes.saturating_sub(size(token));
            return None;
        }
        let (token, entry) = halves.old.remove_entry(token)?;
        let context = usable(&entry).then(|| entry.context.clone())?;
        let dropped = self.put(&mut halves, token, entry);
        drop(halves);
        drop(dropped);
        Some(context)
    }

    /// Remembers a token that the key set of `generation` has verified.
    pub(super) fn insert(&self, token: &str, context: UserContext, generation: u64) {
        let mut halves = self.lock();
        let dropped = self.put(
            &mut halves,
            token.into(),
            Entry {
                context,
                generation,
            },
        );
        drop(halves);
        // A half may hold thousands of entries: freed when nobody waits for the lock.
        drop(dropped);
    }

    /// Puts an entry into the young half; gives back the old half where it was pushed out.
    fn put(
        &self,
        halves: &mut Halves,
        token: Box<str>,
        entry: Entry,
    ) -> Option<HashMap<Box<str>, Entry, RandomState>> {
        let added = size(&token);
        if halves.young.insert(token, entry).is_none() {
            halves.young_bytes += added;
        }
        if halves.young_bytes <= self.half_bytes {
            return None;
        }
        halves.young_bytes = 0;
        let young = std::mem::take(&mut halves.young);
        Some(std::mem::replace(&mut halves.old, young))
    }

    /// The table stays whole whatever panics between two of its operations, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let halves = self.lock();
        f.debug_struct("Cache")
            .field("tokens", &(halves.young.len() + halves.old.len()))
            .finish_non_exhaustive()
    }
}

fn size(token: &str) -> usize {
    token.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::user::{UserId, Verified};
    use std::time::{Duration, UNIX_EPOCH};

    const NOW: SystemTime = UNIX_EPOCH;

    fn context(user: &str) -> UserContext {
        UserContext::new(Verified {
            expires_at: Some(NOW + Duration::from_secs(60)),
            ..Verified::of(UserId::parse(user).unwrap())
        })
    }

    #[test]
    fn a_token_is_found_by_all_of_its_text_until_it_ends() {
        let cache = Cache::new();
        cache.insert("token-a", context("alice"), 1);
        assert_eq!(cache.get("token-a", NOW, |_| true), Some(context("alice")));
        assert_eq!(cache.get("token-b", NOW, |_| true), None);
        assert_eq!(
            cache.get("token-a", NOW + Duration::from_secs(60), |_| true),
            None,
            "ended"
        );
        assert_eq!(cache.get("token-a", NOW, |_| true), None, "and forgotten");
    }

    #[test]
    fn a_token_is_forgotten_with_the_keys_that_verified_it() {
        let cache = Cache::new();
        cache.insert("token-a", context("alice"), 1);
        cache.insert("token-b", context("bob"), 2);
        assert_eq!(
            cache.get("token-a", NOW, |generation| generation == 2),
            None
        );
        assert!(
            cache
                .get("token-b", NOW, |generation| generation == 2)
                .is_some()
        );
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_in_use() {
        let cache = Cache::with_bytes(10 * size("token-000"));
        cache.insert("token-use", context("alice"), 1);
        for n in 0..1000 {
            cache.insert(&format!("token-{n:03}"), context("bob"), 1);
            assert!(
                cache.get("token-use", NOW, |_| true).is_some(),
                "after {n} others"
            );
        }
        let halves = cache.lock();
        assert!(
            halves.young.len() + halves.old.len() <= 22,
            "{} and {}",
            halves.young.len(),
            halves.old.len()
        );
        assert_eq!(
            halves.young_bytes,
            halves.young.keys().map(|token| size(token)).sum::<usize>()
        );
    }

    #[test]
    fn debug_shows_no_token() {
        let cache = Cache::new();
        cache.insert("token-a", context("alice"), 1);
        assert!(!format!("{cache:?}").contains("token-a"));
    }
}
