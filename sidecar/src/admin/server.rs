//! HTTP/1.1 over any stream, with bounds on what a client may hold: connections, header bytes, and time.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::reply::Reply;

/// Connections at one time; more are closed at once.
pub(super) const MAX_CONNECTIONS: usize = 32;

/// From the first byte of a request, or from its predecessor's answer, to the end of its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection's age, after which it may finish the answer that it is at.
const LIFETIME: Duration = Duration::from_secs(120);

/// How long that answer may take, so that a client that reads too slowly does not stay.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// Bytes of a request's line and headers.
const HEADER_BYTES: usize = 16 * 1024;

/// The connections of one door. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    permits: Arc<Semaphore>,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }

    /// Serves one connection in a task of its own, or closes it when there are too many.
    pub(super) fn serve<S, A, F>(&mut self, stream: S, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            tracing::debug!(limit = MAX_CONNECTIONS, "admin connection refused");
            return;
        };
        self.tasks.spawn(async move {
            let _permit = permit;
            let service = service_fn(move |request| {
                let reply = answer(request);
                async move { Ok::<_, Infallible>(reply.await) }
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
    }
}
