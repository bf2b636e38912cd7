//! Log lines for what clients can cause as often as they like: each kind is told at most once in a while, and then with how
//! many were left out. So a storm of refusals shows in the log without filling it; the metrics count every one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of one kind.
const BETWEEN: Duration = Duration::from_secs(10);

/// When each kind of event was last told. Kinds are few, and come up only where something is refused.
#[derive(Debug, Default)]
pub struct Notices(Mutex<Vec<Told>>);

#[derive(Debug)]
struct Told {
    kind: &'static str,
    at: Instant,
    left_out: u64,
}

impl Notices {
    /// Whether an event of this kind is to be told now: then with the number of those that were left out since the last one.
    pub fn due(&self, kind: &'static str) -> Option<u64> {
        self.due_at(kind, Instant::now())
    }

    fn due_at(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(told) = all.iter_mut().find(|told| told.kind == kind) else {
            all.push(Told {
                kind,
                at: now,
                left_out: 0,
            });
            return Some(0);
        };
        if now.saturating_duration_since(told.at) < BETWEEN {
            told.left_out += 1;
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_in_sum() {
        let (notices, start) = (Notices::default(), Instant::now());
        assert_eq!(notices.due_at("expired", start), Some(0));
        for _ in 0..7 {
            assert_eq!(notices.due_at("expired", start), None);
        }
        assert_eq!(notices.due_at("expired", start + BETWEEN), Some(7));
        assert_eq!(notices.due_at("expired", start + BETWEEN * 2), Some(0));
    }

    #[test]
    fn one_kind_does_not_hide_another() {
        let (notices, start) = (Notices::default(), Instant::now());
        assert_eq!(notices.due_at("expired", start), Some(0));
        assert_eq!(notices.due_at("missing", start), Some(0));
    }
}
