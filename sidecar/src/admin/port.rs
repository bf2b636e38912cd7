//! The TCP door: metrics, health, readiness, revision, and the public keys of context tokens. It may be reached by the whole pod and by Prometheus, so nothing here
//! names a user, shows a policy's text, or changes anything.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::inventory::ApplicationRow;
use super::reply::{self, Reply};
use super::server::Connections;
use super::{AdminError, AdminState};
use crate::listen::{listen, listen_everywhere};
use crate::policy::{Diagnostic, PendingRestart, READS};
use crate::telemetry::{CONTENT_TYPE, Clients};

/// How long to wait after an accept that failed, usually for want of file descriptors.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const KNOWN: &str = "/metrics, /healthz, /readyz, /revision and /jwks.json";

/// Connections that the kernel holds for a busy port.
const BACKLOG: i32 = 128;

/// Where the TCP door is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// One address.
    One(SocketAddr),
    /// This port of all addresses of both families, or of IPv4 where the host has no other.
    All(u16),
}

/// The bound TCP door.
#[derive(Debug)]
pub struct AdminPort {
    listener: TcpListener,
    address: SocketAddr,
}

/// What `/revision` answers: from it the operator knows whether this pod is in sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionReport {
    /// The policy's name.
    pub policy: String,
    /// The policy's namespace.
    pub namespace: String,
    /// The environment that it was resolved for.
    pub environment: String,
    /// Names the content in force.
    pub revision: String,
    /// Counts the policies that this process has taken over, from 1.
    pub number: u64,
    /// The last policy that was refused, until a good one is read.
    pub rejection: Option<RejectionReport>,
    /// What only a restart can give.
    pub pending_restart: Vec<PendingRestart>,
    /// Which list of revocations is in force.
    pub revocations: ListReport,
    /// The versions of snapshots that this sidecar reads, the highest first.
    pub wire_versions: Vec<u32>,
    /// Connections since the start that named a user who was believed.
    pub attributed: u64,
    /// All connections since the start that asked to be served, those that were refused for want of a user among them.
    pub total: u64,
    /// The listeners, by name: the databases', then the WebSockets'.
    pub listeners: Vec<ListenerReport>,
    /// Which applications name their users, in mode `Audit`: at most a hundred, and one of each protocol for the rest.
    pub inventory: Vec<ApplicationRow>,
}

/// A list of revocations, of which the port names nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReport {
    /// Names the content in force.
    pub revision: String,
    /// Revocations that have not ended.
    pub count: u64,
    /// Whether a newer list was refused, until a good one is read; the log says why.
    pub refused: bool,
}

/// What came to one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerReport {
    /// The entry's name.
    pub name: String,
    /// Client connections that are open.
    pub open: u64,
    /// Seconds since a client was last there: 0 while one is connected, and counted from the start where none has come yet.
    /// Long, it says that the application goes another way.
    pub quiet_seconds: u64,
}

/// A policy that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionReport {
    /// When, in seconds since the epoch.
    pub at: u64,
    /// Why.
    pub diagnostics: Vec<Diagnostic>,
}

impl AdminAddress {
    fn listen(self) -> io::Result<TcpListener> {
        let socket = match self {
            Self::One(address) => listen(address, BACKLOG),
            Self::All(port) => listen_everywhere(port, BACKLOG),
        };
        TcpListener::from_std(socket?)
    }
}

impl FromStr for AdminAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(port) = text.strip_prefix(':')
            && let Ok(port) = port.parse()
        {
            return Ok(Self::All(port));
        }
        text.parse().map(Self::One)
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(address) => write!(f, "{address}"),
            Self::All(port) => write!(f, ":{port}"),
        }
    }
}

impl From<SocketAddr> for AdminAddress {
    fn from(address: SocketAddr) -> Self {
        Self::One(address)
    }
}

impl AdminPort {
    /// Binds the address; port 0 lets the kernel choose. Needs a tokio runtime around it.
    ///
    /// # Errors
    ///
    /// [`AdminError::Listen`].
    pub fn bind(address: AdminAddress) -> Result<Self, AdminError> {
        let failed = |source| AdminError::Listen { address, source };
        let listener = address.listen().map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped; never returns by itself. Dropping it ends its connections.
    pub async fn serve(self, state: AdminState) {
        let mut connections = Connections::new();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let state = state.clone();
                    connections.serve(stream, move |request| {
                        let reply = answer(request.method(), request.uri().path(), &state);
                        async move { reply }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "admin port: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn metrics(state: &AdminState) -> Reply {
    let refused = state.store.standing().rejection.is_some();
    state.metrics.policy_rejected.set(i64::from(refused));
    match state.metrics.render() {
        Ok(text) => reply::of(StatusCode::OK, CONTENT_TYPE, text.into()),
        Err(error) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn answer(method: &Method, path: &str, state: &AdminState) -> Reply {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return reply::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
    }
    match path {
        "/metrics" => metrics(state),
        "/healthz" => reply::text(StatusCode::OK, "ok"),
        "/readyz" => match state.readiness.check() {
            Ok(()) => reply::text(StatusCode::OK, "ready"),
            Err(reason) => reply::text(StatusCode::SERVICE_UNAVAILABLE, reason),
        },
        "/jwks.json" => match state.inventory.context_keys() {
            Some(keys) => reply::key_set(keys),
            None => reply::text(
                StatusCode::NOT_FOUND,
                "the policy has no webSockets, so that no context tokens are signed here",
            ),
        },
        "/revision" => reply::json(&RevisionReport::of(state)),
        _ => reply::not_found(KNOWN),
    }
}

impl RevisionReport {
    /// What stands now.
    #[must_use]
    pub fn of(state: &AdminState) -> Self {
        let (revision, standing) = (state.store.current(), state.store.standing());
        let revocations = state.revocations.current();
        let clients = state.metrics.clients();
        let (attributed, total) = clients
            .iter()
            .map(|(_, clients)| clients.attribution())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let report = |(name, clients): (String, Arc<Clients>)| ListenerReport {
            name,
            open: u64::try_from(clients.connections.get()).unwrap_or_default(),
            quiet_seconds: clients.quiet().as_secs(),
        };
        let seconds = |at: SystemTime| {
            at.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs())
        };
        Self {
            policy: revision.policy.name.clone(),
            namespace: revision.policy.namespace.clone(),
            environment: revision.policy.environment.clone(),
            revision: revision.id.to_string(),
            number: revision.number,
            rejection: standing.rejection.map(|refused| RejectionReport {
                at: seconds(refused.at),
                diagnostics: refused.diagnostics,
            }),
            pending_restart: standing.pending_restart,
            revocations: ListReport {
                revision: revocations.list().revision().to_owned(),
                count: revocations.lasting(SystemTime::now()) as u64,
                refused: state.revocation_standing.rejection().is_some(),
            },
            wire_versions: READS.to_vec(),
            attributed,
            total,
            listeners: clients.into_iter().map(report).collect(),
            inventory: ApplicationRow::all(&state.metrics.inventory),
        }
    }
}
