//! HTTP/1.1 over any stream, with bounds on what a client may hold: connections, header bytes, and time.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::idle::Idle;
use super::reply::Reply;

/// Connections at one time. For one more the longest idle is closed, so that silent ones keep nobody out: a liveness probe
/// that finds no place would end the pod.
pub(super) const MAX_CONNECTIONS: usize = 32;

/// From the first byte of a request, or from its predecessor's answer, to the end of its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection's age, after which it may finish the answer that it is at.
const LIFETIME: Duration = Duration::from_secs(120);

/// How long that answer may take, so that a client that reads too slowly does not stay.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// Bytes of a request's line and headers.
const HEADER_BYTES: usize = 16 * 1024;

/// The connections of one door. Dropping it ends them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    open: Vec<Open>,
}

/// One that is open.
#[derive(Debug)]
struct Open {
    idle: Arc<Idle>,
    task: AbortHandle,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Serves one connection in a task of its own; closes it only where all others are at an answer.
    pub(super) fn serve<S, A, F>(&mut self, stream: S, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        if !self.make_room() {
            tracing::debug!(limit = MAX_CONNECTIONS, "admin connection refused");
            return;
        }
        let idle = Arc::new(Idle::now());
        let of_task = Arc::clone(&idle);
        let task = self.tasks.spawn(async move {
            let service = service_fn(move |request| {
                let working = of_task.pause();
                let reply = answer(request);
                async move {
                    let reply = reply.await;
                    drop(working);
                    Ok::<_, Infallible>(reply)
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_header_size(HEADER_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = pin!(connection);
            let ended = match timeout(LIFETIME, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    connection.as_mut().graceful_shutdown();
                    timeout(LAST_ANSWER, connection).await.unwrap_or(Ok(()))
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "admin connection ended");
            }
        });
        self.open.push(Open { idle, task });
    }

    /// Whether there is room for one more, if need be in the place of the longest idle.
    fn make_room(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|open| !open.task.is_finished());
        if self.open.len() < MAX_CONNECTIONS {
            return true;
        }
        let now = Instant::now();
        let idle = self.open.iter().enumerate();
        let longest = idle
            .filter_map(|(at, open)| Some((open.idle.for_how_long(now)?, at)))
            .max();
        let Some((_, at)) = longest else {
            return false;
        };
        self.open.swap_remove(at).task.abort();
        true
    }
}
