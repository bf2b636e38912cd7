//! Since when what injects pods stands as it should, for those who must not act before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whether what injects stands, and since when; clones share it. Nothing stands until somebody has looked.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<Option<Instant>>>);

impl Standing {
    /// For how long it has stood; none where it does not, or nobody knows.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| since.elapsed())
    }

    /// It was looked at, and was as it should be.
    pub(super) fn stands(&self) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.get_or_insert_with(Instant::now);
    }

    /// It is not as it should be, or nobody knows.
    pub(super) fn falls(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_from_the_first_look_that_finds_it_well_until_one_that_does_not() {
        let standing = Standing::default();
        let seen = standing.clone();
        assert_eq!(seen.age(), None, "nobody has looked");
        standing.stands();
        let first = *standing.0.lock().unwrap();
        standing.stands();
        assert_eq!(*standing.0.lock().unwrap(), first);
        assert!(seen.age().is_some());
        standing.falls();
        assert_eq!(seen.age(), None);
    }
}
