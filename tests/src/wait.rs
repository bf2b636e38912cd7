//! Waiting for a condition, with a bound: the suites never sleep and hope.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// The pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` gives a value.
///
/// # Panics
/// When it has given none within [`PATIENCE`]; the message says what was waited for.
pub async fn until_some<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain for {what}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until `condition` is true.
///
/// # Panics
/// When it was not within [`PATIENCE`].
pub async fn until<F>(what: &str, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    until_some(what, || {
        let met = condition();
        async move { met.await.then_some(()) }
    })
    .await;
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
