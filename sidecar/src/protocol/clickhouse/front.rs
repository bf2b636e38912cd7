//! A client's connection, and what becomes of each request on it: read, judged, and sent to the worker of its user.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::kinds::Tier;
use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::body::{Answer, Sent};
use super::error::{Code, Exception};
use super::parameters::Parameters;
use super::query::{Asked, fixed, said};
use super::request::{self, Target};
use super::statement::{self, settings_of};
use super::{health, identity};
use crate::accept::{PeerUid, lets_in, peer_uid, uid_refused};
use crate::admission::{self, Identified, decide, identify};
use crate::attribution::{Counted, comment, name, of_rejection};
use crate::factory::key::Owner;
use crate::force::DatabaseForce;
use crate::identity::{Presented, Rejection, RejectionReason};
use crate::stream::Stream;
use crate::telemetry::{Attribution, ConnectionOutcome, TimeoutKind};
use crate::worker::mailbox::Letter;
use crate::worker::{Entry, Worker};

/// Bytes of a request's line and headers. An address alone may have 64 KiB: longer queries go in the body.
const HEADER_BYTES: usize = 128 * 1024;

/// How long a client may take for the head of a request, the time before it included in which it asks nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What clients are told of that, with time for the way.
const KEEP_ALIVE: HeaderValue = HeaderValue::from_static("timeout=25");

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Bytes of a body that are read before there is a server connection, so that a small one is whole and its client is seen to go.
const FIRST: usize = 16 * 1024;

/// The first byte of a TLS handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// A client's connection.
struct Front {
    worker: Rc<Worker>,
    entries: Rc<[Rc<Entry>]>,
    peer: PeerUid,
    /// Whether it has been counted by what became of its first request.
    counted: Cell<bool>,
    /// What counts it in the inventory: that of the application that its last request came from.
    inventory: RefCell<Option<(String, Box<Counted>)>>,
    /// Whether the connection has been counted there.
    is_in_inventory: Cell<bool>,
    /// For whom it was recorded last that it is served.
    recorded: RefCell<Option<(Arc<str>, Owner)>>,
}

/// Serves one connection to its end.
pub async fn welcome(worker: Rc<Worker>, entries: Rc<[Rc<Entry>]>, stream: Stream) {
    let Some(first) = entries.first().map(Rc::clone) else {
        return;
    };
    let peer = peer_uid(&stream);
    let Some(stream) = encrypted(&first, &entries, stream).await else {
        return;
    };
    let front = Rc::new(Front {
        worker,
        entries,
        peer,
        counted: Cell::new(false),
        inventory: RefCell::default(),
        is_in_inventory: Cell::new(false),
        recorded: RefCell::default(),
    });
    let clients = &first.metrics.clients;
    clients.seen();
    clients.connections.inc();
    speak(&front, stream).await;
    if !front.counted.get() {
        clients.connection(ConnectionOutcome::Abandoned);
    }
    clients.seen();
    clients.connections.dec();
}

/// TLS, where the listener has a certificate and the client begins so.
async fn encrypted(first: &Entry, entries: &[Rc<Entry>], stream: Stream) -> Option<Stream> {
    let mut certificates = entries.iter().map(|entry| entry.force_now().tls.clone());
    let (socket, tls) = match (stream, certificates.find_map(|tls| tls)) {
        (Stream::Tcp(socket), Some(tls)) => (socket, tls),
        (stream, _) => return Some(stream),
    };
    let handshake = async move {
        let mut byte = [0];
        socket.peek(&mut byte).await.ok()?;
        if byte != [TLS_HANDSHAKE] {
            return Some(Stream::Tcp(socket));
        }
        let accepted = tls.accept(socket).await;
        let accepted = accepted.inspect_err(|error| {
            first.metrics.connection(ConnectionOutcome::ProtocolError);
            tracing::debug!(%error, "a client's TLS handshake has failed");
        });
        Some(Stream::TlsServer(Box::new(accepted.ok()?)))
    };
    let shaken = timeout(HANDSHAKE, handshake).await;
    shaken.unwrap_or_else(|_| {
        first.timed_out(TimeoutKind::Handshake, None);
        None
    })
}

async fn speak(front: &Rc<Front>, stream: Stream) {
    let mut draining = front.worker.draining.subscribe();
    let _open = front.worker.process.open();
    let service = service_fn(|request| {
        let front = Rc::clone(front);
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEADER_BYTES)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let drained = async move {
        // What this gives is a lock on the word itself, which must not be held while the connection ends.
        let _ = draining.wait_for(|draining| *draining).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drained => {
            // What is under way is finished, and the client takes its next request elsewhere.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection has ended");
    }
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let mut response = match self.handle(parts, body).await {
            Ok(response) => response,
            Err(error) => said(&error),
        };
        let keep_alive = HeaderName::from_static("keep-alive");
        response.headers_mut().insert(keep_alive, KEEP_ALIVE);
        response
    }

    async fn handle(&self, parts: Parts, body: Incoming) -> Result<Response<Answer>, Exception> {
        let read = Parameters::parse(parts.uri.query().unwrap_or_default());
        let parameters = read.map_err(|error| {
            self.count(ConnectionOutcome::ProtocolError);
            Exception::new(Code::BadArguments, error.to_string())
        })?;
        let target = request::target(&parts.method, parts.uri.path(), &parameters);
        let target = target.inspect_err(|_| self.count(ConnectionOutcome::ProtocolError))?;
        let entry = self.entry(&parameters, &parts.headers);
        let entry = entry.ok_or_else(|| {
            self.count(ConnectionOutcome::Rejected);
            let message =
                "no database entry at this address is for the database that the request names";
            Exception::new(Code::BadArguments, message)
        })?;
        entry.metrics.clients.seen();
        if !lets_in(entry, self.peer) {
            self.counted.set(true);
            let refusal = uid_refused(entry, self.peer);
            return Err(Exception::new(Code::AuthenticationFailed, refusal)
                .with_status(StatusCode::FORBIDDEN));
        }
        if target == Target::Health {
            self.count(ConnectionOutcome::Accepted);
            return health::pass_on(entry, &parts, &parameters).await;
        }
        self.query(entry, parts, parameters, body).await
    }

    /// A query, from who asks it to its answer.
    async fn query(
        &self,
        entry: &Rc<Entry>,
        parts: Parts,
        parameters: Parameters,
        body: Incoming,
    ) -> Result<Response<Answer>, Exception> {
        let force = entry.force();
        let presented = self.worker.process.kills.now();
        let application = application(&parts.headers);
        let (identified, role) = self
            .identify(entry, &force, &parts.headers, &parameters)
            .await?;
        request::check_once(&parameters)?;
        let mut body = Sent::new(body);
        check_settings(entry, &force, &parts.headers, &parameters, &mut body).await?;
        self.count_query(&force, &parts.headers, &parameters, &body, &identified);
        let (reply, answer) = oneshot::channel();
        let asked = Box::new(Asked {
            entry: Arc::clone(&force.name),
            owner: identified.owner,
            context: identified.context,
            presented,
            role,
            method: parts.method,
            path: if parts.uri.path() == "/query" {
                "/query"
            } else {
                "/"
            },
            parameters,
            headers: parts.headers,
            body,
            application,
            reply,
        });
        self.dispatch(asked);
        answer.await.map_err(|_| {
            let message = "the query was not begun: the sidecar is shutting down";
            Exception::new(Code::QueryWasCancelled, message)
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
        })
    }

    /// Sends a query to the worker of its user: here, or by letter.
    fn dispatch(&self, asked: Box<Asked>) {
        let worker = &self.worker;
        let home = asked.owner.home(worker.process.workers(), worker.index);
        if home == worker.index {
            spawn_local(super::serve(Rc::clone(worker), asked));
        } else {
            worker.process.send(home, Letter::Query(asked));
        }
    }

    /// Whose work a request brings, and as which ClickHouse user it would log in.
    async fn identify(
        &self,
        entry: &Entry,
        force: &DatabaseForce,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<(Identified, Option<String>), Exception> {
        let source = force.policy.identity.source;
        let metrics = &self.worker.process.metrics;
        let (identified, role) = match identity::read(headers, parameters, source) {
            Ok(said) => {
                let live = &self.worker.process.live;
                let identified = identify(force, &said.presented(), live).await;
                let shared = force.tier() == Tier::Shared;
                // Where the user is cut off there is nothing that the client could say instead.
                let identified = identified.map_err(|rejection| match rejection.reason {
                    reason if !reason.is_clients() => rejection,
                    _ if shared => rejection,
                    reason => Rejection {
                        hint: identity::hint(reason, source),
                        ..rejection
                    },
                });
                (identified, said.role)
            }
            Err(rejection) => {
                // Something was presented, whatever it is.
                let presented = Presented {
                    token: Some(""),
                    user: None,
                };
                (decide(force, &presented, Err(rejection)), None)
            }
        };
        let identified = self.recorded(entry, force, identified);
        let identified = identified.map_err(|rejection| {
            metrics.identity_rejection(rejection.reason);
            self.count(ConnectionOutcome::Rejected);
            let reason = rejection.reason.as_str();
            // The reason alone: the message may hold what the client sent.
            entry.metrics.clients.notice(reason, |upstream, left_out| {
                tracing::warn!(
                    upstream,
                    reason,
                    left_out,
                    "a request is refused: no valid user context"
                );
            });
            let refused = Exception::new(Code::AuthenticationFailed, rejection.message);
            let refused = match rejection.reason {
                RejectionReason::AuditUnavailable => {
                    refused.with_status(StatusCode::SERVICE_UNAVAILABLE)
                }
                _ => refused,
            };
            refused.with_hint(rejection.hint)
        })?;
        if let Some(rejection) = &identified.rejection {
            metrics.identity_rejection(rejection.reason);
            metrics.unattributed(force.settings.protocol);
        }
        check_role(entry, force, role.as_deref()).inspect_err(|_| {
            entry.trail.refused_role();
            self.count(ConnectionOutcome::Rejected);
        })?;
        self.count(identified.outcome());
        Ok((identified, role))
    }

    /// Counts a query in the inventory, where one is taken, and the connection by its first.
    fn count_query(
        &self,
        force: &DatabaseForce,
        headers: &HeaderMap,
        parameters: &Parameters,
        body: &Sent,
        identified: &Identified,
    ) {
        if !force.takes_inventory() {
            return;
        }
        let agent = agent(headers);
        let mut inventory = self.inventory.borrow_mut();
        if inventory.as_ref().is_none_or(|(known, _)| known != agent) {
            let metrics = &self.worker.process.metrics;
            let counted = Counted::new(
                metrics,
                force,
                &application(headers),
                name::read(agent).claim,
            );
            *inventory = counted.map(|counted| (agent.to_owned(), counted));
        }
        let Some((_, counted)) = inventory.as_mut() else {
            return;
        };
        let verified = identified.context.is_some();
        let claim = of_rejection(identified.rejection.as_ref());
        let claim = claim.or_else(|| claim_of_text(headers, parameters, body));
        if !self.is_in_inventory.replace(true) {
            counted.connection(verified);
        }
        counted.query(verified, claim);
    }

    /// Records what has become of a request's context, once while the connection goes on with the same one.
    fn recorded(
        &self,
        entry: &Entry,
        force: &DatabaseForce,
        decided: Result<Identified, Rejection>,
    ) -> Result<Identified, Rejection> {
        let owner = decided.as_ref().ok().map(|it| it.owner.clone());
        let served = owner.map(|owner| (Arc::clone(&force.name), owner));
        if served.is_some() && *self.recorded.borrow() == served {
            return decided;
        }
        let recorded = admission::record(&entry.trail, &force.policy, decided);
        if recorded.is_ok() {
            *self.recorded.borrow_mut() = served;
        }
        recorded
    }

    /// The entry that a request wants, of those that share the listener: the one for its database, else the one that names none. An entry
    /// that has its listener for itself takes every database.
    fn entry(&self, parameters: &Parameters, headers: &HeaderMap) -> Option<&Rc<Entry>> {
        if let [only] = &*self.entries {
            return Some(only);
        }
        let header = headers.get("x-clickhouse-database");
        let named = parameters.first("database");
        let named = named.or_else(|| header.map(HeaderValue::as_bytes));
        let is_for = |entry: &&Rc<Entry>, wanted: Option<&[u8]>| {
            let force = entry.force_now();
            let database = force.settings.upstream.database.as_deref();
            database.map(str::as_bytes) == wanted
        };
        let mut entries = self.entries.iter();
        let found = named.and_then(|named| entries.find(|entry| is_for(entry, Some(named))));
        found.or_else(|| self.entries.iter().find(|entry| is_for(entry, None)))
    }

    /// Counts the connection by what became of its first request.
    fn count(&self, outcome: ConnectionOutcome) {
        if !self.counted.replace(true)
            && let Some(first) = self.entries.first()
        {
            first.metrics.connection(outcome);
        }
    }
}

/// The sidecar logs in with credentials of its own, so the user that a client names must be theirs: anything else would change what the
/// application may do without anybody having said so.
fn check_role(entry: &Entry, force: &DatabaseForce, asked: Option<&str>) -> Result<(), Exception> {
    let (Some(ours), Some(asked)) = (force.connector.role(), asked) else {
        return Ok(());
    };
    if ours == asked {
        return Ok(());
    }
    entry.metrics.clients.notice("role", |upstream, left_out| {
        tracing::warn!(
            upstream,
            left_out,
            "a request is refused: it names a ClickHouse user that the sidecar has no credentials for"
        );
    });
    let shown: String = asked.chars().take(64).collect();
    let message = format!(
        "the user \"{}\" is not served: databases[{}].upstream.credentialsSecretRef is for \"{ours}\"",
        shown.escape_debug(),
        force.name
    );
    Err(Exception::new(Code::AuthenticationFailed, message)
        .with_status(StatusCode::FORBIDDEN)
        .with_hint(format!("Log in as \"{ours}\", or name no user")))
}

/// What a request must not change: looked for in its address, and in its text as far as that can be read.
async fn check_settings(
    entry: &Entry,
    force: &DatabaseForce,
    headers: &HeaderMap,
    parameters: &Parameters,
    body: &mut Sent,
) -> Result<(), Exception> {
    let fixed = fixed(force);
    let mut broken = fixed.broken_by(parameters);
    let reads_text = fixed.asks_for_text() && request::body_is_readable(headers, parameters);
    let most = if reads_text {
        statement::LOOKED_AT
    } else {
        FIRST
    };
    let first = body.look(most).await.map_err(|error| {
        Exception::new(
            Code::BadArguments,
            format!("the body cannot be read: {error}"),
        )
    })?;
    if fixed.asks_for_text() {
        let in_address = parameters.all("query").flat_map(settings_of);
        let in_body = if reads_text {
            settings_of(first)
        } else {
            Vec::new()
        };
        let in_text = in_address.chain(in_body).find(|name| fixed.covers(name));
        broken = broken.or(in_text);
    }
    let Some(name) = broken else { return Ok(()) };
    entry.metrics.fixed_parameters.inc();
    entry.metrics.clients.notice("fixed", |upstream, left_out| {
        tracing::warn!(
            upstream,
            left_out,
            "a client changes a setting that the policy fixes (session.fixedParameters, session.userParameter)"
        );
    });
    if !force.enforces() {
        return Ok(());
    }
    let message = format!(
        "the setting {name} cannot be changed: databases[{}].session fixes it",
        force.name
    );
    Err(Exception::new(Code::SettingConstraintViolation, message)
        .with_hint("Leave it out of the address and of the query"))
}

/// What a query's comment, or its setting `log_comment`, says of its user. A text can stand in the address, in the body, or in both, one
/// behind the other.
fn claim_of_text(headers: &HeaderMap, parameters: &Parameters, body: &Sent) -> Option<Attribution> {
    let in_address = parameters.first("query").filter(|text| !text.is_empty());
    let in_body = || {
        let readable = request::body_is_readable(headers, parameters);
        let (beginning, is_whole) = body.looked_at();
        readable
            .then(|| comment::claim(beginning, is_whole))
            .flatten()
    };
    let in_text = match in_address {
        // What stands in the body then is data, or the end of the text.
        Some(text) => comment::claim(text, true),
        None => in_body(),
    };
    in_text.or_else(|| {
        let setting = parameters.first("log_comment")?;
        name::read(std::str::from_utf8(setting).ok()?).claim
    })
}

/// The whole `User-Agent`.
fn agent(headers: &HeaderMap) -> &str {
    let agent = headers.get(USER_AGENT);
    agent
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// What a client calls itself: the product of its `User-Agent`, without the user that it may name behind it.
fn application(headers: &HeaderMap) -> String {
    let agent = name::read(agent(headers)).application;
    let product = agent.split([' ', '/']).next();
    product.unwrap_or_default().chars().take(63).collect()
}
