//! Waiting for a condition, with a bound: the suites never sleep and hope.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// The pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` is true.
///
/// # Panics
/// When it was not within [`PATIENCE`]; the message says what was waited for.
pub async fn until<F>(what: &str, condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    until_within(PATIENCE, what, condition).await;
}

/// Waits until `condition` is true, for what takes longer than most: a node that becomes ready, a rollout.
///
/// # Panics
/// When it was not within `patience`; the message says what was waited for.
pub async fn until_within<F>(patience: Duration, what: &str, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let start = Instant::now();
    while !condition().await {
        assert!(
            start.elapsed() < patience,
            "waited {patience:?} in vain for {what}"
        );
        pause().await;
    }
}

/// The pause between two looks, for who loops over a condition that is more than yes or no.
pub async fn pause() {
    tokio::time::sleep(LOOK).await;
}

/// Waits, without a runtime, until `condition` gives a value or `patience` is over.
pub fn blocking<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() >= patience {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// The outcome of `work`, which must be there within [`PATIENCE`].
///
/// # Panics
/// When it was not.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Fails where more than `limit` has gone by since `start`.
///
/// # Panics
/// Then.
pub fn no_longer_than(limit: Duration, start: Instant) {
    let took = start.elapsed();
    assert!(took < limit, "it took {took:?}");
}
