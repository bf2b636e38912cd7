//! From what a client has said to one that is served, or to a refusal in Redis' own form.

use std::rc::Rc;
use std::sync::Arc;

use super::client::Choices;
use super::greeting::{Credentials, Reply};
use crate::admission::{self, Identified};
use crate::attribution::{self, of_rejection};
use crate::factory::key::Owner;
use crate::force::DatabaseForce;
use crate::identity::{LiveSockets, Presented, Rejection, RejectionReason, UserContext};
use crate::protocol::postgres::handshake::{Redacted, split_role};
use crate::stream::Stream;
use crate::telemetry::Attribution;
use crate::upstream::Connector;
use crate::worker::kills::Moment;
use crate::worker::{Entry, Worker};

/// The role that a server gives to whoever does not name one.
pub(super) const DEFAULT_ROLE: &str = "default";

/// A client that is served, on its way to the worker of its user.
#[derive(Debug)]
pub struct Admitted {
    /// The database entry whose listener it came to.
    pub entry: Arc<str>,
    /// Its connection.
    pub stream: Stream,
    /// What it has sent already.
    pub unread: Vec<u8>,
    /// Its choices so far.
    pub choices: Choices,
    /// Whose factory serves it.
    pub owner: Owner,
    /// Its verified context; none for work that belongs to no user, and in mode `Audit`.
    pub context: Option<UserContext>,
    /// The role that the server sees.
    pub role: String,
    /// What it is told first.
    pub reply: Reply,
    /// When it said who it is.
    pub presented: Moment,
    /// What it has said of its user and was not believed, for the inventory.
    pub claim: Option<Attribution>,
}

/// Why a client is not served.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Its user context.
    Identity(Rejection),
    /// It named a role for which the sidecar has no credentials: what it is told.
    Role(String),
}

impl Refusal {
    /// The error line: `NOAUTH` where nothing was said, `WRONGPASS` where it does not hold, and where nobody can be recorded `MISCONF`, which
    /// Redis itself says when it cannot write to its disk.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Role(line) => line.clone(),
            Self::Identity(rejection) => {
                let code = match rejection.reason {
                    RejectionReason::Missing => "NOAUTH",
                    RejectionReason::AuditUnavailable => "MISCONF",
                    _ => "WRONGPASS",
                };
                format!("{code} {}. {}", rejection.message, rejection.hint)
            }
        }
    }
}

impl Admitted {
    /// A client that has been identified; its connection is still where it was.
    pub(super) fn new(
        force: &DatabaseForce,
        identified: Identified,
        reply: Reply,
        presented: Moment,
        claim: Option<Attribution>,
    ) -> Self {
        Self {
            entry: Arc::clone(&force.name),
            stream: Stream::Gone,
            unread: Vec::new(),
            choices: Choices::default(),
            owner: identified.owner,
            context: identified.context,
            role: serving_role(force),
            reply,
            presented,
            claim,
        }
    }
}

/// The role that the server sees: the policy's credentials', else the server's default one.
pub(super) fn serving_role(force: &DatabaseForce) -> String {
    role_of(&force.connector)
}

/// The same of an upstream that is only dialled.
pub(super) fn role_of(connector: &Connector) -> String {
    let role = connector.role();
    role.unwrap_or_else(|| DEFAULT_ROLE.to_owned())
}

/// Decides whose client this is.
///
/// # Errors
/// Why it is not served.
pub(super) async fn admit(
    force: &DatabaseForce,
    credentials: &Credentials,
    live: &LiveSockets,
) -> Result<Identified, Refusal> {
    let (role, suffix) = named_role(force, credentials.user.as_deref());
    check_role(force, role)?;
    let presented = presented(force, credentials, suffix);
    let identified = admission::identify(force, &presented, live).await;
    identified.map_err(|rejection| {
        Refusal::Identity(match rejection.reason {
            // There is nothing that the client could say instead.
            reason if !reason.is_clients() => rejection,
            _ => Rejection {
                hint: hint(force),
                ..rejection
            },
        })
    })
}

/// Records what has become of a client that said whom it works for.
///
/// # Errors
/// Why it is not served.
pub(super) fn record(
    entry: &Entry,
    force: &DatabaseForce,
    decided: Result<Identified, Refusal>,
) -> Result<Identified, Refusal> {
    let decided = match decided {
        Ok(identified) => Ok(identified),
        Err(Refusal::Identity(rejection)) => Err(rejection),
        Err(role) => {
            entry.trail.refused_role();
            return Err(role);
        }
    };
    admission::record(&entry.trail, &force.policy, decided).map_err(Refusal::Identity)
}

/// What counts of what was said. Where the policy takes a client's word, its password is the application's own and says nothing, unless
/// it is a token; so too where work may be nobody's.
fn presented<'a>(
    force: &DatabaseForce,
    credentials: &'a Credentials,
    suffix: Option<&'a str>,
) -> Presented<'a> {
    let password = credentials.password.as_ref().map(Redacted::expose);
    let lenient = force.trusts() || force.tier() == bulkhead_crds::kinds::Tier::Shared;
    Presented {
        token: password.filter(|text| !lenient || is_token(text)),
        user: credentials.named.as_deref().or(suffix),
    }
}

/// The compact form of a JWS (RFC 7515, section 7.1): three parts of base64url.
fn is_token(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let is_part = |part: &&str| {
        let mut bytes = part.bytes();
        !part.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    parts.len() == 3 && parts.iter().all(is_part)
}

fn named_role<'a>(
    force: &DatabaseForce,
    user: Option<&'a str>,
) -> (Option<&'a str>, Option<&'a str>) {
    match user {
        Some(user) if force.trusts() => {
            let (role, id) = split_role(user);
            (Some(role), id)
        }
        user => (user, None),
    }
}

/// The sidecar logs in with credentials of its own, so a role that a client names must be theirs: anything else would change what the
/// application may do without anybody having said so.
fn check_role(force: &DatabaseForce, named: Option<&str>) -> Result<(), Refusal> {
    let ours = serving_role(force);
    match named {
        Some(role) if role != DEFAULT_ROLE && role != ours => Err(Refusal::Role(format!(
            "WRONGPASS role \"{role}\" is not served: databases[{}].upstream.credentialsSecretRef is for role \"{ours}\"; use that, or AUTH with the token alone",
            force.name
        ))),
        _ => Ok(()),
    }
}

fn hint(force: &DatabaseForce) -> String {
    let role = serving_role(force);
    if force.trusts() {
        format!("Say who this is for: CLIENT SETNAME bulkhead:ID, or AUTH {role}+ID PASSWORD.")
    } else {
        format!("Send the user's token: AUTH {role} TOKEN, or HELLO 3 AUTH {role} TOKEN.")
    }
}

/// Counts a client that is served although it named no acceptable user.
pub(super) fn count_unattributed(worker: &Worker, force: &DatabaseForce, rejection: &Rejection) {
    let metrics = &worker.process.metrics;
    metrics.identity_rejection(rejection.reason);
    metrics.unattributed(force.settings.protocol);
}

/// What a client claims whose word was not taken: the user of `CLIENT SETNAME bulkhead:ID`, or a placeholder in any form.
pub(super) fn claim(
    credentials: &Credentials,
    rejection: Option<&Rejection>,
) -> Option<Attribution> {
    let named = credentials.named.as_deref();
    of_rejection(rejection).or_else(|| named.map(attribution::of_id))
}

/// Counts a refusal, and tells of it.
pub(super) fn note_refusal(worker: &Rc<Worker>, entry: &Rc<Entry>, refusal: &Refusal) {
    let notices = &entry.metrics.clients;
    match refusal {
        Refusal::Identity(rejection) => {
            worker.process.metrics.identity_rejection(rejection.reason);
            let reason = rejection.reason.as_str();
            // The reason alone: the message may hold what the client sent.
            notices.notice(reason, |upstream, left_out| {
                tracing::warn!(
                    upstream,
                    reason,
                    left_out,
                    "a client is refused: no valid user context"
                );
            });
        }
        Refusal::Role(_) => notices.notice("role", |upstream, left_out| {
            tracing::warn!(
                upstream,
                left_out,
                "a client is refused: it names a role that the sidecar has no credentials for"
            );
        }),
    }
}
