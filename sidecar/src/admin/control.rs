//! The Unix door: users, the policy with its origins, drain. Only this user and root may open it, and the kernel says who
//! opens it (`SO_PEERCRED`).

use std::path::Path;
use std::time::{Duration, SystemTime};

use bulkhead_crds::effective::EffectivePolicy;
use bulkhead_crds::explain;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::inventory::{
    ApplicationRow, ExecutionRow, ExecutionsReport, RevocationRow, RevocationsReport, UsersReport,
};
use super::port::{ACCEPT_PAUSE, RevisionReport};
use super::private::{Peer, PrivateSocket};
use super::reply::{self, Reply};
use super::server::Connections;
use super::{AdminError, AdminState};
use crate::audit::record::Event;
use crate::telemetry::{ActionOutcome, AdminAction};

/// How long the workers may take to tell who their users are.
const INVENTORY_TIMEOUT: Duration = Duration::from_secs(5);

const KNOWN: &str =
    "GET /users, GET /executions, GET /policy, GET /revocations, GET /revision and POST /drain";

/// What a request to drain comes to. In a pod the application ends after its pre-stop hook has asked, and needs its databases
/// until then; the end comes with the signal.
const DRAIN_ANSWER: &str =
    "not ready from now on; databases stay open to the application, and SIGTERM ends what is left";

/// What anybody else is told than who may ask.
const STRANGER: &str = "only root and the user that the sidecar runs as may ask";

/// The bound Unix door. Dropping it removes the socket.
#[derive(Debug)]
pub struct ControlSocket(PrivateSocket);

/// What `/policy` answers. A policy holds references to secrets, never secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// The policy's name.
    pub policy: String,
    /// The policy's namespace.
    pub namespace: String,
    /// The environment that it was resolved for.
    pub environment: String,
    /// Names the content.
    pub revision: String,
    /// Every field.
    pub fields: Vec<FieldRow>,
}

/// One field of the effective policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRow {
    /// The field (`databases[main].timeouts.statement`).
    pub path: String,
    /// Its value as a policy would write it.
    pub value: String,
    /// `default`, `base` or `environment NAME`.
    pub origin: String,
}

impl ControlSocket {
    /// Binds the socket, with permissions 0600, in the place of one that nobody answers on. Needs a tokio
    /// runtime around it.
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    pub fn bind(path: &Path) -> Result<Self, AdminError> {
        PrivateSocket::bind("--control", path).map(Self)
    }

    /// Answers until it is dropped; never returns by itself. Dropping it ends its connections.
    pub async fn serve(self, state: AdminState) {
        let mut connections = Connections::new();
        loop {
            match self.0.accept().await {
                Ok((stream, Some(peer))) => {
                    let state = state.clone();
                    connections.serve(stream, move |request| {
                        let state = state.clone();
                        async move {
                            let (method, path) = (request.method(), request.uri().path());
                            answer(method, path, &peer, &state).await
                        }
                    });
                }
                Ok((stream, None)) => {
                    tracing::warn!("control socket: another user was turned away");
                    connections.serve(stream, |_| async {
                        reply::text(StatusCode::FORBIDDEN, STRANGER)
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn answer(method: &Method, path: &str, peer: &Peer, state: &AdminState) -> Reply {
    match (method, path) {
        (&Method::GET, "/users") => users(state).await,
        (&Method::GET, "/executions") => executions(state),
        (&Method::GET, "/policy") => policy(state),
        (&Method::GET, "/revocations") => reply::json(&RevocationsReport::of(state)),
        (&Method::GET, "/revision") => reply::json(&RevisionReport::of(state)),
        (&Method::POST, "/drain") => {
            tracing::info!("drain requested on the control socket");
            state.drain.notify_one();
            let (action, outcome) = (AdminAction::Drain, ActionOutcome::Done);
            state.metrics.admin_action(action, outcome);
            state.trail.record(|_| Event::AdministratorActed {
                action,
                outcome,
                caller: peer.to_string(),
                user: None,
                upstream: None,
            });
            reply::text(StatusCode::ACCEPTED, DRAIN_ANSWER)
        }
        (_, "/users" | "/executions" | "/policy" | "/revocations" | "/revision" | "/drain") => {
            reply::text(StatusCode::METHOD_NOT_ALLOWED, format!("there is {KNOWN}"))
        }
        _ => reply::not_found(KNOWN),
    }
}

async fn users(state: &AdminState) -> Reply {
    let Ok(users) = timeout(INVENTORY_TIMEOUT, state.inventory.users()).await else {
        return reply::text(StatusCode::GATEWAY_TIMEOUT, "the workers do not answer");
    };
    reply::json(&UsersReport {
        users,
        applications: ApplicationRow::all(&state.metrics.inventory),
    })
}

fn executions(state: &AdminState) -> Reply {
    let runs = state.metrics.unfinished_runs.snapshot().into_iter();
    let rows = runs.map(|run| ExecutionRow {
        user_id: run.user_id,
        upstream: run.upstream,
        run_id: run.run_id,
        outcome: run.outcome.as_str().to_owned(),
        age_seconds: run.age.as_secs(),
        ended_seconds_ago: run.ended.elapsed().as_secs(),
    });
    reply::json(&ExecutionsReport {
        unfinished: rows.collect(),
    })
}

fn policy(state: &AdminState) -> Reply {
    let revision = state.store.current();
    reply::json(&PolicyReport::of(&revision.policy, &revision.id))
}

impl RevocationsReport {
    /// What is in force now.
    #[must_use]
    pub fn of(state: &AdminState) -> Self {
        let (current, now) = (state.revocations.current(), SystemTime::now());
        let lasting = current.list().revocations().iter();
        let lasting = lasting.filter(|one| one.expires_at.is_none_or(|end| now < end.get()));
        let rows = lasting.map(|one| RevocationRow {
            name: one.name.clone(),
            user_id: one.user.clone(),
            not_before: one.not_before.to_string(),
            expires_at: one.expires_at.map(|end| end.to_string()),
            reason: one.reason.clone(),
        });
        let rejection = state.revocation_standing.rejection();
        Self {
            revision: current.list().revision().to_owned(),
            revocations: rows.collect(),
            rejection: rejection.map_or_else(Vec::new, |refused| refused.diagnostics),
        }
    }
}

impl PolicyReport {
    /// Every field of an effective policy, in the order of the schema.
    #[must_use]
    pub fn of(policy: &EffectivePolicy, revision: &str) -> Self {
        Self {
            policy: policy.name.clone(),
            namespace: policy.namespace.clone(),
            environment: policy.environment.clone(),
            revision: revision.to_owned(),
            fields: explain(policy)
                .into_iter()
                .map(|row| FieldRow {
                    path: row.path,
                    value: row.value,
                    origin: row.origin.to_string(),
                })
                .collect(),
        }
    }
}
