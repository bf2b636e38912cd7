//! The connections that are open: how many there may be, and how they end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::process::stop::{Stop, Stopper, pair};

/// Connections at one time; an API server holds a few dozen. For one more the longest idle is closed, so that silent ones keep nobody out.
const MOST: usize = 512;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// From the first byte of a request, or its predecessor's answer, to the end of its headers: longer than the API server keeps an idle
/// connection (90 s), so that it is the API server that closes, and never sends a review into a connection that is closing.
const HEADERS: Duration = Duration::from_secs(120);

/// Bytes of a request's line and headers.
const HEADER_BYTES: usize = 16 * 1024;

/// The open connections.
pub(super) struct Connections {
    tasks: JoinSet<()>,
    open: Vec<Open>,
    ending: (Stopper, Stop),
    begun: Instant,
}

struct Open {
    idle: Idle,
    task: AbortHandle,
}

/// Since when a connection has been idle, in milliseconds of the server's life; or at work.
#[derive(Clone)]
struct Idle(Arc<AtomicU64>);

const AT_WORK: u64 = u64::MAX;

impl Default for Connections {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            open: Vec::new(),
            ending: pair(),
            begun: Instant::now(),
        }
    }
}

impl Connections {
    /// Serves one connection in a task of its own; closes it only where all others are at work.
    pub(super) fn serve<A, F>(&mut self, acceptor: TlsAcceptor, stream: TcpStream, answer: A)
    where
        A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
    {
        if !self.make_room() {
            tracing::warn!(limit = MOST, "a connection to the webhooks was refused");
            return;
        }
        let idle = Idle(Arc::new(AtomicU64::new(self.now())));
        let (begun, stop, of_task) = (self.begun, self.ending.1.clone(), idle.clone());
        let task = self.tasks.spawn(async move {
            // Answers are small, and somebody's request waits for each.
            let _ = stream.set_nodelay(true);
            let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else {
                tracing::debug!("a TLS handshake failed");
                return;
            };
            let service = service_fn(|request| {
                of_task.0.store(AT_WORK, Ordering::Relaxed);
                let (answer, idle) = (answer(request), of_task.clone());
                async move {
                    let reply = answer.await;
                    idle.0.store(millis(begun), Ordering::Relaxed);
                    reply
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .max_header_size(HEADER_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            run(connection, stop).await;
        });
        self.open.push(Open { idle, task });
    }

    /// No request more on any connection; returns when those that are begun are answered, or `patience` is over.
    pub(super) async fn finish(mut self, patience: Duration) {
        self.ending.0.stop();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_err() {
            tracing::warn!("reviews were broken off at the end");
        }
    }

    fn make_room(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|open| !open.task.is_finished());
        if self.open.len() < MOST {
            return true;
        }
        let since = |open: &Open| open.idle.0.load(Ordering::Relaxed);
        let longest = self
            .open
            .iter()
            .enumerate()
            .min_by_key(|(_, open)| since(open));
        match longest {
            Some((at, open)) if since(open) != AT_WORK => {
                self.open.swap_remove(at).task.abort();
                true
            }
            _ => false,
        }
    }

    fn now(&self) -> u64 {
        millis(self.begun)
    }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(AT_WORK - 1)
}

/// One connection to its end; told to stop, it ends after the answer that it is at.
async fn run<S>(
    connection: http1::Connection<TokioIo<tokio_rustls::server::TlsStream<TcpStream>>, S>,
    mut stop: Stop,
) where
    S: hyper::service::Service<
            Request<Incoming>,
            Response = Response<Full<Bytes>>,
            Error = Infallible,
        >,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the webhooks ended badly");
    }
}
