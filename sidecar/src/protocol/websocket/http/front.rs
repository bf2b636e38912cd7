//! One client connection, and what becomes of each request on it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::super::entry::SocketEntry;
use super::super::handshake::{Arrival, Refusal, arrival};
use super::body::{Body, own};
use super::{plain, renewal, upgrade};
use crate::factory::key::Owner;
use crate::force::WebSocketForce;
use crate::identity::Rejection;
use crate::stream::Stream;
use crate::worker::Worker;
use crate::worker::mailbox::Letter;

/// Bytes of a request's line and headers: what common servers take at the most, and a token of any identity provider fits.
const HEADER_BYTES: usize = 64 * 1024;

/// Requests at one time on one HTTP/2 connection (RFC 9113, section 6.5.2, recommends no fewer than 100).
const STREAMS: u32 = 256;

/// How long a connection without any request yet is waited for when the sidecar leaves.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// A client's connection.
#[derive(Clone, Debug)]
pub(super) struct Front {
    pub(super) worker: Rc<Worker>,
    pub(super) entry: Rc<SocketEntry>,
    pub(super) peer: IpAddr,
    /// For whom it was recorded last that this connection is served.
    recorded: Rc<RefCell<Option<Owner>>>,
}

impl Front {
    /// A connection that nobody has been accepted on.
    pub(super) fn new(worker: Rc<Worker>, entry: Rc<SocketEntry>, peer: IpAddr) -> Self {
        Self {
            worker,
            entry,
            peer,
            recorded: Rc::default(),
        }
    }

    /// Records that a request is served for this owner, once while it is the same one.
    ///
    /// # Errors
    /// That cannot be recorded, and the policy says that nobody is accepted then.
    pub(super) fn record(&self, force: &WebSocketForce, owner: Owner) -> Result<(), Refusal> {
        if self.recorded.borrow().as_ref() == Some(&owner) {
            return Ok(());
        }
        let recorded = self.entry.trail.accepted(&owner);
        recorded.map_err(|_| Refusal::Identity(Box::new(Rejection::unrecorded(&force.policy))))?;
        *self.recorded.borrow_mut() = Some(owner);
        Ok(())
    }

    /// Asks the worker `home`, which may be this one: `here` answers then, else that worker the letter. None: it has gone.
    pub(super) async fn ask<Q, A>(
        &self,
        home: usize,
        question: Q,
        here: impl FnOnce(&Worker, Q) -> A,
        letter: impl FnOnce(Q, oneshot::Sender<A>) -> Letter,
    ) -> Option<A> {
        if home == self.worker.index {
            return Some(here(&self.worker, question));
        }
        let (reply, answer) = oneshot::channel();
        self.worker.process.send(home, letter(question, reply));
        answer.await.ok()
    }
}

/// Runs what hyper wants to run on this worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Here {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// Serves one connection to its end, or to the moment at which it is a WebSocket.
pub async fn serve(worker: Rc<Worker>, entry: Rc<SocketEntry>, stream: TcpStream) {
    let peer = stream
        .peer_addr()
        .map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a client's socket has gone");
        return;
    }
    let handshake = entry.force_now().settings.handshake;
    let front = Front::new(worker, entry, peer);
    speak(&front.worker, Stream::Tcp(stream), handshake, |request| {
        let front = front.clone();
        async move { answer(&front, request).await }
    })
    .await;
}

/// Speaks HTTP on a connection: 1.1, or 2 without TLS. `patience` is for the first request, and for the headers of each.
pub(super) async fn speak<A: Future<Output = Response<Body>> + 'static>(
    worker: &Worker,
    stream: Stream,
    patience: Duration,
    answer: impl Fn(Request<Incoming>) -> A,
) {
    let leaving = worker.leaving.subscribe();
    let _open = worker.process.open();
    let mut http = auto::Builder::new(Here);
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEADER_BYTES)
        .preserve_header_case(true);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES as u32)
        .max_concurrent_streams(STREAMS);
    if stream.is_tls() {
        http = http.http1_only();
    }
    let asked = Notify::new();
    let service = service_fn(|request| {
        asked.notify_one();
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut connection = pin!(http.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = turned_away(leaving, &asked, patience) => {
            // Answers that are under way are finished, and the client takes its next request elsewhere.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a client's connection has ended");
    }
}

/// The moment from which a connection takes no further request: when the sidecar leaves, or when no request has come in time.
async fn turned_away(mut leaving: watch::Receiver<bool>, asked: &Notify, handshake: Duration) {
    let mut left = leaving.clone();
    let last_chance = async {
        // Whoever has just come is told that the sidecar leaves, rather than met with the end of the connection.
        let _ = left.wait_for(|leaving| *leaving).await;
        tokio::time::sleep(LAST_CHANCE).await;
    };
    tokio::select! {
        asked = timeout(handshake, asked.notified()) => {
            if asked.is_ok() {
                let _ = leaving.wait_for(|leaving| *leaving).await;
            }
        }
        () = last_chance => {}
    }
}

/// What a request gets.
pub(super) async fn answer(front: &Front, request: Request<Incoming>) -> Response<Body> {
    front.entry.metrics.clients.seen();
    let (parts, body) = request.into_parts();
    if renewal::is_asked(front, &parts) {
        return renewal::answer(front, parts).await;
    }
    let answered = match arrival(&parts) {
        Ok(Arrival::Plain) => plain::pass_on(front, Request::from_parts(parts, body)).await,
        Ok(Arrival::WebSocket) => {
            Box::pin(upgrade::upgrade(front, Request::from_parts(parts, body))).await
        }
        Err(refusal) => Err(refusal),
    };
    answered.unwrap_or_else(|refusal| refuse(front, &refusal))
}

/// Counts a refusal, tells of it, and words it.
pub(super) fn refuse(front: &Front, refusal: &Refusal) -> Response<Body> {
    let metrics = &front.entry.metrics;
    if let Refusal::Identity(rejection) = refusal {
        front
            .worker
            .process
            .metrics
            .identity_rejection(rejection.reason);
        front.entry.trail.refused(rejection);
    }
    metrics.clients.connection(refusal.outcome());
    let status = refusal.status().as_u16();
    metrics
        .clients
        .notice(refusal.outcome().as_str(), |upstream, left_out| {
            // The message may hold what the client sent, but for an identity it is the reason alone that is told.
            let why = match refusal {
                Refusal::Identity(rejection) => rejection.reason.as_str().to_owned(),
                other => other.message(),
            };
            tracing::warn!(upstream, status, why, left_out, "a request is refused");
        });
    own(refusal.response())
}
