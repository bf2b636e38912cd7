//! Requests at a steady rate, and how long each took.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Requests that may be under way at one time; a server that is further behind than this is not keeping the rate.
const UNDER_WAY: usize = 1024;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Figures {
    /// How long each request took, the shortest first. A request's time begins when it was due, not when it was sent: a server that
    /// stalls does not look fast because nobody asked meanwhile.
    latencies: Vec<Duration>,
    /// What the failures said, the first of them.
    pub failure: Option<String>,
    /// How many failed.
    pub failed: usize,
    /// Answers a second.
    pub rate: f64,
}

impl Figures {
    /// The time within which this part of the requests was answered, in milliseconds.
    #[must_use]
    pub fn quantile(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into what a run of minutes holds"
        )]
        let place = (part * last as f64).round() as usize;
        self.latencies
            .get(place)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// Sends `rate` requests a second for `length`, whether or not those before have been answered.
///
/// # Panics
/// When a request panics.
pub async fn at_rate<F, W>(rate: u32, length: Duration, request: F) -> Figures
where
    F: Fn(u32) -> W,
    W: Future<Output = Result<(), String>> + Send + 'static,
{
    let total = rate * u32::try_from(length.as_secs()).expect("a run of seconds");
    let places = Arc::new(Semaphore::new(UNDER_WAY));
    let mut under_way = JoinSet::new();
    let start = Instant::now() + Duration::from_millis(50);
    for number in 0..total {
        let due = start + Duration::from_secs(1) * number / rate;
        tokio::time::sleep_until(due.into()).await;
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .expect("nobody closes it");
        let work = request(number);
        under_way.spawn(async move {
            let outcome = work.await;
            drop(place);
            outcome.map(|()| due.elapsed())
        });
    }
    let mut latencies = Vec::with_capacity(total as usize);
    let (mut failed, mut failure) = (0, None);
    while let Some(outcome) = under_way.join_next().await {
        match outcome.expect("a request does not panic") {
            Ok(latency) => latencies.push(latency),
            Err(error) => {
                failed += 1;
                failure.get_or_insert(error);
            }
        }
    }
    latencies.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
    let rate = latencies.len() as f64 / start.elapsed().as_secs_f64();
    Figures {
        latencies,
        failure,
        failed,
        rate,
    }
}
