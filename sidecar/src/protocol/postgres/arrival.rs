//! A client's arrival: from its first byte to one that is admitted, on the worker that accepted it; then it moves, once, to the worker of
//! its user.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::admission::{Admitted, Refusal, admit, named_role, send_fatal};
use super::error_response::{ErrorResponse, SqlState};
use super::handshake::{Arrival, HandshakeError, Login, authenticate, receive};
use super::session::{self, cancel_key};
use crate::accept::{PeerUid, lets_in, peer_uid, uid_refused};
use crate::force::DatabaseForce;
use crate::identity::RejectionReason;
use crate::stream::Stream;
use crate::telemetry::{ConnectionOutcome, TimeoutKind};
use crate::worker::kills::Moment;
use crate::worker::mailbox::Letter;
use crate::worker::{Entry, Worker};

/// How long a client may take from its first byte to its last password message. PostgreSQL's own `authentication_timeout`
/// is 60 s; the sidecar's peer is on the same host.
const LOGIN_LIMIT: Duration = Duration::from_secs(10);

/// Reads a client's start-up and sends it where it belongs. Until it has said which database it wants, it is the first
/// entry's.
pub async fn welcome(worker: Rc<Worker>, entries: Rc<[Rc<Entry>]>, stream: Stream) {
    let Some(first) = entries.first() else {
        return;
    };
    let peer = peer_uid(&stream);
    let deadline = Instant::now() + LOGIN_LIMIT;
    let certificate = entries
        .iter()
        .find_map(|entry| entry.force_now().tls.clone());
    let arrival = Box::pin(receive(stream, certificate.as_ref()));
    let login = match in_time(first, deadline, arrival).await {
        None => return,
        // Whoever may not come in may not end what others do either.
        Some(Arrival::Cancel(..)) if !entries.iter().any(|entry| lets_in(entry, peer)) => {
            first.metrics.connection(ConnectionOutcome::Unauthenticated);
            return;
        }
        Some(Arrival::Cancel(key, stream)) => {
            first.metrics.connection(ConnectionOutcome::Cancel);
            let target = cancel_key::worker(key.process_id());
            let (canceller, dealt_with) = oneshot::channel();
            worker.process.send(target, Letter::Cancel(key, canceller));
            // Who waits for the end of this connection sends the next statement after it, which must not be hit.
            let _ = timeout_at(deadline, dealt_with).await;
            drop(stream);
            return;
        }
        Some(Arrival::Login(login)) => login,
    };
    let presented = worker.process.kills.now();
    let Some(entry) = entry_of(&entries, &login) else {
        Box::pin(refuse_database(first, *login)).await;
        return;
    };
    if !lets_in(entry, peer) {
        Box::pin(refuse_uid(entry, peer, *login)).await;
        return;
    }
    entry.metrics.clients.seen();
    let force = entry.force();
    let proven = Box::pin(prove(&force, login));
    if let Some(login) = in_time(entry, deadline, proven).await {
        Box::pin(admit_client(&worker, entry, &force, *login, presented)).await;
    }
}

/// The outcome of a step of a start-up; none where it has failed, or took too long, which is counted and told.
async fn in_time<T>(
    entry: &Entry,
    deadline: Instant,
    step: impl Future<Output = Result<T, HandshakeError>>,
) -> Option<T> {
    match timeout_at(deadline, step).await {
        Ok(Ok(outcome)) => Some(outcome),
        Ok(Err(error)) => {
            turn_away(entry, &error);
            None
        }
        Err(_) => {
            entry.timed_out(TimeoutKind::Handshake, None);
            entry.metrics.connection(ConnectionOutcome::Abandoned);
            None
        }
    }
}

/// The entry that a client wants, of those that share the listener: the one for its database, else the one that names no
/// database and takes the rest. An entry that has its listener for itself takes every database.
fn entry_of<'a>(entries: &'a [Rc<Entry>], login: &Login) -> Option<&'a Rc<Entry>> {
    if let [only] = entries {
        return Some(only);
    }
    let first = entries.first()?.force();
    let (role, _) = named_role(&first, &login.user);
    let database = login.database_for(&role);
    let is_for = |entry: &&Rc<Entry>, wanted: Option<&str>| {
        entry.force_now().settings.upstream.database.as_deref() == wanted
    };
    let named = entries.iter().find(|entry| is_for(entry, Some(database)));
    named.or_else(|| entries.iter().find(|entry| is_for(entry, None)))
}

/// The client's user id is none of those that the policy lets in.
async fn refuse_uid(entry: &Entry, peer: PeerUid, login: Login) {
    let why = uid_refused(entry, peer);
    let error = ErrorResponse::fatal(SqlState::INVALID_AUTHORIZATION, why);
    send_fatal(login.stream, &error).await;
}

/// No entry of the listener is for the client's database.
async fn refuse_database(first: &Entry, login: Login) {
    first.metrics.connection(ConnectionOutcome::Rejected);
    first.metrics.clients.notice("database", |upstream, left_out| {
        tracing::warn!(
            upstream,
            left_out,
            "a client is refused: no database entry at this address is for the database that it names"
        );
    });
    let error = ErrorResponse::fatal(
        SqlState::INVALID_CATALOG_NAME,
        format!("database \"{}\" is not served at this address", login.database),
    )
    .with_hint("Name a database that the policy has an entry for; an entry without upstream.database takes every other one.");
    send_fatal(login.stream, &error).await;
}

async fn prove(force: &DatabaseForce, mut login: Box<Login>) -> Result<Box<Login>, HandshakeError> {
    let end_point = login.end_point.clone();
    authenticate(&mut login.stream, &force.auth, end_point.as_deref()).await?;
    Ok(login)
}

/// Counts a start-up that has failed, and tells of it. Health checks and port scanners that only went away are no news.
fn turn_away(entry: &Entry, error: &HandshakeError) {
    let outcome = outcome_of(error);
    entry.metrics.connection(outcome);
    if outcome != ConnectionOutcome::Abandoned {
        entry
            .metrics
            .clients
            .notice(outcome.as_str(), |upstream, left_out| {
                tracing::warn!(upstream, %error, left_out, "a client's start-up has failed");
            });
    }
}

async fn admit_client(
    worker: &Rc<Worker>,
    entry: &Rc<Entry>,
    force: &Arc<DatabaseForce>,
    login: Login,
    presented: Moment,
) {
    let metrics = &worker.process.metrics;
    match admit(force, &entry.trail, login, &worker.process.live, presented).await {
        Ok((admitted, rejection)) => {
            if let Some(rejection) = rejection {
                metrics.identity_rejection(rejection.reason);
                metrics.unattributed(force.settings.protocol);
            }
            dispatch(worker, admitted);
        }
        Err(refused) => {
            let (login, refusal) = *refused;
            let error = match refusal {
                Refusal::Identity(rejection) => {
                    metrics.identity_rejection(rejection.reason);
                    let reason = rejection.reason.as_str();
                    // The reason alone: the message may hold what the client sent.
                    entry.metrics.clients.notice(reason, |upstream, left_out| {
                        tracing::warn!(
                            upstream,
                            reason,
                            left_out,
                            "a client is refused: no valid user context"
                        );
                    });
                    let state = state_of(rejection.reason);
                    ErrorResponse::fatal(state, rejection.message).with_hint(rejection.hint)
                }
                Refusal::Role(error) => {
                    entry.metrics.clients.notice("role", |upstream, left_out| {
                        tracing::warn!(
                            upstream,
                            left_out,
                            "a client is refused: it names a role that the sidecar has no credentials for"
                        );
                    });
                    error
                }
            };
            entry.metrics.connection(ConnectionOutcome::Rejected);
            send_fatal(login.stream, &error).await;
        }
    }
}

/// What a client may do about a refusal: another context, or another try.
pub(in crate::protocol::postgres) const fn state_of(reason: RejectionReason) -> SqlState {
    match reason {
        RejectionReason::AuditUnavailable => SqlState::CANNOT_CONNECT_NOW,
        _ => SqlState::INVALID_AUTHORIZATION,
    }
}

/// Sends an admitted client to the worker of its user: here, or by letter.
fn dispatch(worker: &Rc<Worker>, admitted: Admitted) {
    let home = admitted.owner.home(worker.process.workers(), worker.index);
    if home == worker.index {
        spawn_local(session::serve(Rc::clone(worker), Box::new(admitted)));
    } else {
        worker
            .process
            .send(home, Letter::Client(Box::new(admitted)));
    }
}

/// How a start-up that failed is counted.
const fn outcome_of(error: &HandshakeError) -> ConnectionOutcome {
    match error {
        HandshakeError::Closed | HandshakeError::Io(_) => ConnectionOutcome::Abandoned,
        HandshakeError::Scram(_) => ConnectionOutcome::Unauthenticated,
        _ => ConnectionOutcome::ProtocolError,
    }
}
