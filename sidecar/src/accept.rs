//! Where clients come in: a listener a database entry, accepted from by every worker.
//!
//! A client's start-up is read on the worker that accepted it; then the client moves, once, to the worker of its user.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::force::DatabaseForce;
use crate::protocol::postgres::error_response::{ErrorResponse, SqlState};
use crate::protocol::postgres::handshake::{Arrival, HandshakeError, Login, authenticate, receive};
use crate::protocol::postgres::session::{self, cancel_key};
use crate::session::{Admitted, Refusal, admit, application_name, send_fatal};
use crate::stream::Stream;
use crate::telemetry::{ConnectionOutcome, TimeoutKind};
use crate::worker::mailbox::Letter;
use crate::worker::{Entry, Worker};

/// How long a client may take from its first byte to its last password message. PostgreSQL's own `authentication_timeout`
/// is 60 s; the sidecar's peer is on the same host.
const LOGIN_LIMIT: Duration = Duration::from_secs(10);

/// How long a worker waits when the operating system gives no more sockets.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(50);

/// Connections that the kernel holds for a busy listener.
const BACKLOG: i32 = 1024;

/// A listening socket that workers share.
#[derive(Debug)]
pub struct Listener {
    /// The database entry that it belongs to.
    pub entry: Arc<str>,
    socket: StdListener,
}

/// A listener could not be opened.
#[derive(Debug, Error)]
#[error("databases[{entry}].listen: cannot listen on {address}: {source}{advice}")]
pub struct ListenError {
    entry: String,
    address: SocketAddr,
    source: io::Error,
    advice: &'static str,
}

impl Listener {
    /// Opens the listener of an entry.
    ///
    /// # Errors
    /// The address is in use, or not this host's.
    pub fn open(force: &DatabaseForce) -> Result<Self, ListenError> {
        let listen = &force.settings.listen;
        let address = SocketAddr::new(listen.address, listen.port);
        let socket = bind(address).map_err(|source| ListenError {
            entry: force.name.to_string(),
            address,
            advice: advice(&source),
            source,
        })?;
        Ok(Self {
            entry: Arc::clone(&force.name),
            socket,
        })
    }

    /// The same listener for another worker.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self {
            entry: Arc::clone(&self.entry),
            socket: self.socket.try_clone()?,
        })
    }

    /// The address that it has got.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program has the port: change listen.port or listen.address"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this host does not have the address (macOS has no loopback address but 127.0.0.1): change listen.address"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports under 1024 need a privilege: change listen.port"
        }
        _ => "",
    }
}

/// Accepts clients until the worker drains.
pub async fn serve(worker: Rc<Worker>, listener: Listener) {
    let Some(entry) = worker.entry(&listener.entry) else {
        return;
    };
    let socket = match TcpListener::from_std(listener.socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, upstream = %listener.entry, "a worker cannot accept");
            return;
        }
    };
    let mut draining = worker.draining.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((tcp, _)) => {
                spawn_local(welcome(Rc::clone(&worker), Rc::clone(&entry), tcp));
            }
            Err(error) => {
                tracing::warn!(%error, upstream = %listener.entry, "a client could not be accepted");
                tokio::time::sleep(OUT_OF_SOCKETS).await;
            }
        }
    }
}

/// Reads a client's start-up and sends it where it belongs.
async fn welcome(worker: Rc<Worker>, entry: Rc<Entry>, tcp: TcpStream) {
    let force = entry.force();
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "a client's socket has gone");
        return;
    }
    let login = Box::pin(log_in(&force, Stream::Tcp(tcp)));
    let Ok(arrival) = timeout(LOGIN_LIMIT, login).await else {
        entry.metrics.timeout(TimeoutKind::Handshake);
        entry.metrics.connection(ConnectionOutcome::Abandoned);
        return;
    };
    match arrival {
        Ok(Arrival::Cancel(key)) => {
            entry.metrics.connection(ConnectionOutcome::Cancel);
            let target = cancel_key::worker(key.process_id());
            worker.process.send(target, Letter::Cancel(key));
        }
        Ok(Arrival::Login(login)) => Box::pin(admit_client(&worker, &entry, &force, *login)).await,
        Err(error) => turn_away(&entry, &error),
    }
}

/// Counts a start-up that has failed, and tells of it. Health checks and port scanners that only went away are no news.
fn turn_away(entry: &Entry, error: &HandshakeError) {
    let outcome = outcome_of(error);
    entry.metrics.connection(outcome);
    if outcome != ConnectionOutcome::Abandoned {
        entry
            .metrics
            .notice(outcome.as_str(), |upstream, left_out| {
                tracing::warn!(upstream, %error, left_out, "a client's start-up has failed");
            });
    }
}

async fn log_in(force: &DatabaseForce, stream: Stream) -> Result<Arrival, HandshakeError> {
    let mut arrival = receive(stream, force.tls.as_ref()).await?;
    if let Arrival::Login(login) = &mut arrival {
        let end_point = login.end_point.clone();
        authenticate(&mut login.stream, &force.auth, end_point.as_deref()).await?;
    }
    Ok(arrival)
}

async fn admit_client(
    worker: &Rc<Worker>,
    entry: &Rc<Entry>,
    force: &Arc<DatabaseForce>,
    login: Login,
) {
    let metrics = &worker.process.metrics;
    match admit(force, login).await {
        Ok((admitted, rejection)) => {
            if let Some(rejection) = rejection {
                metrics.identity_rejection(rejection.reason);
                let name = application_name(&admitted.login);
                metrics.unattributed(force.settings.protocol, name);
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
                    entry.metrics.notice(reason, |upstream, left_out| {
                        tracing::warn!(
                            upstream,
                            reason,
                            left_out,
                            "a client is refused: no valid user context"
                        );
                    });
                    ErrorResponse::fatal(SqlState::INVALID_AUTHORIZATION, rejection.message)
                        .with_hint(rejection.hint)
                }
                Refusal::Role(error) => {
                    entry.metrics.notice("role", |upstream, left_out| {
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
