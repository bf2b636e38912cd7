//! From a client that has said who it is to one that is served, on the worker where its user lives.

use std::sync::Arc;

use bulkhead_crds::kinds::Tier;
use tokio::io::AsyncWriteExt;

use super::error_response::{ErrorResponse, SqlState};
use super::handshake::{Login, Redacted, split_role};
use super::session::in_sql::InSql;
use crate::admission::{self, Identified};
use crate::attribution::of_rejection;
use crate::audit::EntryTrail;
use crate::factory::key::Owner;
use crate::force::DatabaseForce;
use crate::identity::{LiveSockets, Presented, Rejection, RejectionReason, UserContext};
use crate::stream::Stream;
use crate::telemetry::{Attribution, ConnectionOutcome};
use crate::worker::kills::Moment;

/// A client that is served.
#[derive(Debug)]
pub struct Admitted {
    /// The database entry whose listener it came to.
    pub entry: Arc<str>,
    /// What it said at start-up.
    pub login: Login,
    /// The database that it works in.
    pub database: String,
    /// Whose factory serves it.
    pub owner: Owner,
    /// Its verified context; none for work that belongs to no user, and in mode `Audit`.
    pub context: Option<UserContext>,
    /// The role that the server sees.
    pub role: String,
    /// When it said who it is.
    pub presented: Moment,
    /// What it has said of its user and was not believed, for the inventory.
    pub claim: Option<Attribution>,
}

/// Why a client is not served.
#[derive(Debug)]
pub enum Refusal {
    /// Its user context.
    Identity(Rejection),
    /// It asked for a role for which the sidecar has no credentials.
    Role(ErrorResponse),
}

impl Admitted {
    /// How the connection is counted.
    #[must_use]
    pub const fn outcome(&self) -> ConnectionOutcome {
        admission::outcome(&self.owner)
    }
}

/// Decides whose client this is, and under which role it works; `live` are the sockets that it may work for, and `presented` is when it
/// said who it is.
///
/// # Errors
/// Why it is not served. In mode `Audit` a client without a valid context is served as `unattributed`; the rejection comes
/// back beside it, to be counted.
pub async fn admit(
    force: &DatabaseForce,
    trail: &EntryTrail,
    login: Login,
    live: &LiveSockets,
    presented: Moment,
) -> Result<(Admitted, Option<Rejection>), Box<(Login, Refusal)>> {
    let (role, suffix) = named_role(force, &login.user);
    let identified = identify(force, &login, suffix.as_deref(), live).await;
    let identified = identified.map_err(|rejection| Rejection {
        hint: rejection.hint.replace("ROLE", &role),
        ..rejection
    });
    let role = match serving_role(force, &role) {
        Ok(role) => role,
        Err(error) if identified.is_ok() => {
            trail.refused_role();
            return Err(Box::new((login, Refusal::Role(error))));
        }
        Err(_) => role,
    };
    match admission::record(trail, &force.policy, identified) {
        Ok(identified) => {
            let admitted = Admitted {
                entry: Arc::clone(&force.name),
                database: login.database_for(&role).to_owned(),
                login,
                owner: identified.owner,
                context: identified.context,
                role,
                presented,
                claim: of_rejection(identified.rejection.as_ref()),
            };
            Ok((admitted, identified.rejection))
        }
        Err(rejection) => Err(Box::new((login, Refusal::Identity(rejection)))),
    }
}

async fn identify(
    force: &DatabaseForce,
    login: &Login,
    suffix: Option<&str>,
    live: &LiveSockets,
) -> Result<Identified, Rejection> {
    let presented = Presented {
        token: login.context_token.as_ref().map(Redacted::expose),
        user: login.asserted_user.as_deref().or(suffix),
    };
    let verified = match (login.asserted_user.as_deref(), suffix) {
        (Some(asserted), Some(suffix)) if asserted != suffix => Err(two_users()),
        _ => force.verifier.verify_live(&presented, live).await,
    };
    let says_so_later = force.in_sql().is_some() && force.tier() != Tier::Shared;
    if verified.is_err() && says_so_later && admission::presented_nothing(&presented) {
        return Ok(Identified {
            owner: InSql::nobody(force.enforces()),
            context: None,
            rejection: None,
        });
    }
    admission::decide(force, &presented, verified)
}

fn two_users() -> Rejection {
    Rejection {
        reason: RejectionReason::Conflict,
        user: None,
        message: "the role's suffix and bulkhead.user name different users".to_owned(),
        hint: "Name the user once: role+ID, or options=-c bulkhead.user=ID.".to_owned(),
    }
}

/// The role and the id of `role+ID`, where the policy takes a client's bare word; else the whole name is the role.
pub(crate) fn named_role(force: &DatabaseForce, user: &str) -> (String, Option<String>) {
    if !force.trusts() {
        return (user.to_owned(), None);
    }
    let (role, id) = split_role(user);
    (role.to_owned(), id.map(str::to_owned))
}

/// The sidecar logs in with credentials of its own, so the role that a client names must be theirs: anything else would
/// change what the application may do without anybody having said so.
fn serving_role(force: &DatabaseForce, asked: &str) -> Result<String, ErrorResponse> {
    match force.connector.role() {
        Some(ours) if ours != asked => Err(ErrorResponse::fatal(
            SqlState::INVALID_AUTHORIZATION,
            format!(
                "role \"{asked}\" is not served: databases[{}].upstream.credentialsSecretRef is for role \"{ours}\"",
                force.name
            ),
        )
        .with_hint(format!("Connect as \"{ours}\"."))),
        _ => Ok(asked.to_owned()),
    }
}

/// Tells a client why it is refused, and closes. A client that does not read is not waited for.
pub async fn send_fatal(mut stream: Stream, error: &ErrorResponse) {
    let mut bytes = Vec::new();
    error.write(&mut bytes);
    let farewell = async {
        if stream.write_all(&bytes).await.is_ok() {
            // A client that has gone meanwhile does not need the end of the stream.
            let _ = stream.shutdown().await;
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), farewell).await;
}
