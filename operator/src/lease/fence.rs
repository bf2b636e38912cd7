//! A client that cannot write once its term of leadership is not certain any more.
//!
//! Whoever leads writes through such a client alone. A leader that was suspended, starved or cut off does not know that another one has
//! taken over; its fence has closed by then, whatever its tasks believe.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tower_service::Service;

/// Until when one term of leadership is certain. A new term has a new fence, so that what is left of an old one stays out.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<Option<Term>>>);

#[derive(Clone, Copy, Debug)]
struct Term {
    renewed: Instant,
    /// The monotonic clock stands still while the machine is suspended; this one does not.
    by_wall_clock: SystemTime,
    certain: Duration,
}

/// A write was refused here, before it was sent: this replica is not certain to lead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not sent: this replica does not certainly hold the lease any more")]
pub struct Fenced;

impl Fence {
    /// Writes may be sent from now until `certain` after `renewed`.
    pub fn open_until(&self, renewed: Instant, certain: Duration) {
        let ago = renewed.elapsed();
        let now = SystemTime::now();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Term {
            renewed,
            by_wall_clock: now.checked_sub(ago).unwrap_or(now),
            certain,
        });
    }

    /// No write is sent from now on.
    pub fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long writes may still be sent; none if not at all.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let term = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        // A wall clock that was set back says nothing.
        let by_wall_clock = term.by_wall_clock.elapsed().unwrap_or_default();
        let elapsed = term.renewed.elapsed().max(by_wall_clock);
        term.certain
            .checked_sub(elapsed)
            .filter(|left| !left.is_zero())
    }
}

/// `client`, with every request that is not a read refused by [`Fenced`] while `fence` is closed, and given up when it closes.
#[must_use]
pub fn fenced(client: Client, fence: Fence) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Guarded { client, fence }, namespace)
}

/// Whether an error is a [`Fenced`].
#[must_use]
pub fn is_fenced(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(inner) if inner.is::<Fenced>())
}

struct Guarded {
    client: Client,
    fence: Fence,
}

impl Service<Request<Body>> for Guarded {
    type Response = Response<Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // The inner client queues by itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (client, fence) = (self.client.clone(), self.fence.clone());
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        Box::pin(async move {
            if reads {
                return Ok(client.send(request).await?);
            }
            let Some(left) = fence.left() else {
                return Err(Fenced.into());
            };
            match tokio::time::timeout(left, client.send(request)).await {
                Ok(sent) => Ok(sent?),
                Err(_) => Err(Fenced.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_closed_until_it_is_opened_and_once_its_time_is_over() {
        let fence = Fence::default();
        assert_eq!(fence.left(), None);
        fence.open_until(Instant::now(), Duration::from_secs(60));
        assert!(
            fence
                .left()
                .is_some_and(|left| left > Duration::from_secs(59))
        );
        let long_ago = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        fence.open_until(long_ago, Duration::from_secs(60));
        assert_eq!(fence.left(), None);
    }

    #[test]
    fn what_is_left_of_one_term_does_not_profit_from_the_next() {
        let (old, new) = (Fence::default(), Fence::default());
        new.open_until(Instant::now(), Duration::from_secs(60));
        assert_eq!(old.left(), None);
    }

    #[tokio::test]
    async fn a_write_is_refused_before_it_is_sent_while_a_read_is_not() {
        // Nobody listens there: what is sent fails to connect, which is told apart from what is not sent.
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let fence = Fence::default();
        let client = fenced(Client::try_from(config).unwrap(), fence.clone());
        let request = |method: Method| {
            Request::builder()
                .method(method)
                .uri("/api/v1/namespaces")
                .body(Body::empty())
                .unwrap()
        };
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let refused = client.send(request(method)).await.unwrap_err();
            assert!(is_fenced(&refused), "{refused}");
        }
        let read = client.send(request(Method::GET)).await.unwrap_err();
        assert!(!is_fenced(&read), "{read}");
        fence.open_until(Instant::now(), Duration::from_secs(60));
        let sent = client.send(request(Method::POST)).await.unwrap_err();
        assert!(!is_fenced(&sent), "{sent}");
    }
}
