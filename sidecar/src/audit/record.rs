//! What a record says: a closed list of events, and what stands around each.

use std::sync::Arc;

use bulkhead_crds::kinds::{AuditFailure, Mode, Tier, UserIds};
use serde::{Deserialize, Serialize};

use super::chain::{Chain, Link};
use super::naming::Named;
use crate::factory::key::Owner;
use crate::telemetry::{ActionOutcome, AdminAction, AuditEvent, TimeoutKind};

/// The version of the records' form.
pub const VERSION: u8 = 1;
/// What every record begins with, and no line of a log.
pub const BEGINNING: &[u8] = b"{\"bulkheadAudit\":";

/// Something that has happened. What is not here cannot be recorded.
#[derive(Clone, Debug, Serialize)]
#[serde(
    tag = "event",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// A sidecar has begun to write here.
    TrailBegan {
        /// The sidecar's version.
        version: &'static str,
        /// How users are named from here on.
        user_ids: UserIds,
        /// What happens while records cannot be written.
        on_failure: AuditFailure,
        /// The id of the key that seals the records from this one on.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// What an interrupted writer has left behind the record before.
        #[serde(skip_serializing_if = "Option::is_none")]
        torn: Option<Torn>,
        /// The file before this one, which ends with no record, so that the chain could not go on.
        #[serde(skip_serializing_if = "Option::is_none")]
        unreadable: Option<String>,
    },
    /// The sidecar has ended as it was told to.
    TrailEnded {},
    /// Records that could not be taken.
    RecordsDropped {
        /// How many since the last such record.
        count: u64,
    },
    /// The oldest file was removed (`auditTrail.file.segments`).
    SegmentRemoved {
        /// Its name.
        file: String,
        /// Its last record, as `audit verify --after` takes it.
        through: Option<String>,
    },
    /// A revision of the policy is in force, the one that this record and the following name.
    PolicyInForce {
        /// Whether violations are refused.
        mode: Mode,
        /// How strictly server connections are kept apart.
        tier: Tier,
    },
    /// A policy was read and not taken over.
    PolicyRefused {
        /// One word for each thing that is wrong with it.
        reasons: Vec<String>,
    },
    /// A client works for this user, or for nobody, from now on.
    ContextAccepted {
        /// The protocol that the client speaks.
        protocol: &'static str,
        /// The policy's entry that it came to.
        upstream: Upstream,
        /// Whose work it brings.
        #[serde(flatten)]
        whose: Whose,
    },
    /// A client was refused.
    ContextRefused {
        /// The protocol that the client speaks.
        protocol: &'static str,
        /// The policy's entry that it came to.
        upstream: Upstream,
        /// Why, in one word.
        reason: &'static str,
        /// Who it is, where that is proven all the same.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<Named>,
    },
    /// A connection factory was made.
    FactoryCreated {
        /// The protocol of its upstream.
        protocol: &'static str,
        /// The policy's entry.
        upstream: Upstream,
        /// The database.
        database: String,
        /// Whose it is.
        #[serde(flatten)]
        whose: Whose,
    },
    /// It has ended, and its server connections with it.
    FactoryEnded {
        /// The protocol of its upstream.
        protocol: &'static str,
        /// The policy's entry.
        upstream: Upstream,
        /// The database.
        database: String,
        /// Whose it was.
        #[serde(flatten)]
        whose: Whose,
        /// Why.
        reason: FactoryEnd,
    },
    /// A server connection went from one owner to another (tier `Reset`).
    ServerHandedOver {
        /// The protocol of the upstream.
        protocol: &'static str,
        /// The policy's entry.
        upstream: Upstream,
        /// Whose it was; none where that was nobody.
        from: Option<Named>,
        /// Whose it is.
        to: Option<Named>,
    },
    /// A timeout of the policy fired.
    TimedOut {
        /// The protocol.
        protocol: &'static str,
        /// The policy's entry.
        upstream: Upstream,
        /// Which.
        kind: TimeoutKind,
        /// Whose work it ended; none before a client has said who it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<Named>,
    },
    /// Work was cancelled.
    Cancelled {
        /// The protocol.
        protocol: &'static str,
        /// The policy's entry.
        upstream: Upstream,
        /// By what.
        by: Canceller,
        /// Whose it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<Named>,
    },
    /// A session was ended because its user is cut off.
    SessionRevoked {
        /// The protocol.
        protocol: &'static str,
        /// The policy's entry.
        upstream: Upstream,
        /// Who is cut off.
        user: Named,
    },
    /// A list of revocations is in force.
    RevocationsInForce {
        /// Names its content.
        list: String,
        /// How many it has.
        revocations: usize,
    },
    /// A list of revocations was read and not put in force.
    RevocationsRefused {},
    /// An administrator has done something.
    AdministratorActed {
        /// What.
        action: AdminAction,
        /// What became of it.
        outcome: ActionOutcome,
        /// Who: a user id of the system, or a holder of the token.
        caller: String,
        /// Whom it was done to.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<Named>,
        /// The policy's entry.
        #[serde(skip_serializing_if = "Option::is_none")]
        upstream: Option<String>,
    },
}

/// The name of a policy's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream(pub Arc<str>);

impl Serialize for Upstream {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What an interrupted writer has left: bytes that are no record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// How many.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: String,
}

/// Whose work it is.
#[derive(Clone, Debug, Serialize)]
pub struct Whose {
    owner: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Named>,
}

/// Why a factory has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FactoryEnd {
    /// It has no clients and no connections.
    Unused,
    /// Its user is cut off.
    Revoked,
    /// An administrator has ended its user's connections.
    Killed,
    /// The sidecar ends.
    Shutdown,
}

/// What has cancelled work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Canceller {
    /// Its client.
    Client,
    /// The end of the WebSocket that it was for.
    SocketLost,
    /// A limit of the application's run that it was for.
    RunLimit,
    /// An administrator.
    Administrator,
}

impl Whose {
    /// Whose, with the user named already.
    #[must_use]
    pub fn of(owner: &Owner, name: impl FnOnce(&crate::identity::UserId) -> Named) -> Self {
        Self {
            owner: match owner {
                Owner::User(_) => "user",
                Owner::Unattributed => "unattributed",
                Owner::Shared => "shared",
                Owner::Bootstrap => "bootstrap",
            },
            user: owner.user().map(name),
        }
    }
}

impl Event {
    /// How it is counted, which is also what the record calls it.
    #[must_use]
    pub const fn label(&self) -> AuditEvent {
        match self {
            Self::TrailBegan { .. } => AuditEvent::TrailBegan,
            Self::TrailEnded {} => AuditEvent::TrailEnded,
            Self::RecordsDropped { .. } => AuditEvent::RecordsDropped,
            Self::SegmentRemoved { .. } => AuditEvent::SegmentRemoved,
            Self::PolicyInForce { .. } => AuditEvent::PolicyInForce,
            Self::PolicyRefused { .. } => AuditEvent::PolicyRefused,
            Self::ContextAccepted { .. } => AuditEvent::ContextAccepted,
            Self::ContextRefused { .. } => AuditEvent::ContextRefused,
            Self::FactoryCreated { .. } => AuditEvent::FactoryCreated,
            Self::FactoryEnded { .. } => AuditEvent::FactoryEnded,
            Self::ServerHandedOver { .. } => AuditEvent::ServerHandedOver,
            Self::TimedOut { .. } => AuditEvent::TimedOut,
            Self::Cancelled { .. } => AuditEvent::Cancelled,
            Self::SessionRevoked { .. } => AuditEvent::SessionRevoked,
            Self::RevocationsInForce { .. } => AuditEvent::RevocationsInForce,
            Self::RevocationsRefused {} => AuditEvent::RevocationsRefused,
            Self::AdministratorActed { .. } => AuditEvent::AdministratorActed,
        }
    }
}

/// What stands around an event.
#[derive(Clone, Debug)]
pub(super) struct Around {
    /// The pod.
    pub(super) pod: String,
    /// The policy's namespace.
    pub(super) namespace: String,
    /// The policy.
    pub(super) policy: String,
    /// The revision in force.
    pub(super) revision: Arc<str>,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(rename = "bulkheadAudit")]
    version: u8,
    sequence: u64,
    time: &'a str,
    chain: &'a str,
    pod: &'a str,
    namespace: &'a str,
    policy: &'a str,
    revision: &'a str,
    #[serde(flatten)]
    event: &'a Event,
    previous: Link,
}

/// Appends the next line of a chain to `lines`.
pub(super) fn append(
    chain: &mut Chain,
    around: &Around,
    time: &str,
    event: &Event,
    lines: &mut Vec<u8>,
) {
    let from = lines.len();
    let record = Record {
        version: VERSION,
        sequence: chain.sequence + 1,
        time,
        chain: &chain.id,
        pod: &around.pod,
        namespace: &around.namespace,
        policy: &around.policy,
        revision: &around.revision,
        event,
        previous: chain.head,
    };
    // Texts, numbers and lists of texts: they always have a JSON form, and memory takes what is written to it.
    if serde_json::to_writer(&mut *lines, &record).is_ok() {
        chain.close(lines, from);
    } else {
        lines.truncate(from);
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::Seal;
    use super::super::naming::Naming;
    use super::*;
    use crate::identity::UserId;

    fn whose(user: &str) -> Whose {
        let owner = Owner::User(UserId::parse(user).unwrap());
        Whose::of(&owner, |user| Naming::default().name(user))
    }

    fn line(event: &Event) -> serde_json::Value {
        let around = Around {
            pod: "chat-0".to_owned(),
            namespace: "staging".to_owned(),
            policy: "chat".to_owned(),
            revision: "r1".into(),
        };
        let mut chain = Chain::new("c".to_owned(), Seal::Hash);
        let mut lines = Vec::new();
        append(&mut chain, &around, "now", event, &mut lines);
        assert!(lines.starts_with(BEGINNING), "{lines:?}");
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&lines).unwrap()
    }

    #[test]
    fn a_record_says_who_what_where_and_under_which_revision() {
        let record = line(&Event::ContextAccepted {
            protocol: "postgresql",
            upstream: Upstream("main".into()),
            whose: whose("alice \" of \u{2028}"),
        });
        for (field, expected) in [
            ("event", "context_accepted"),
            ("protocol", "postgresql"),
            ("upstream", "main"),
            ("owner", "user"),
            ("user", "alice \" of \u{2028}"),
            ("pod", "chat-0"),
            ("namespace", "staging"),
            ("policy", "chat"),
            ("revision", "r1"),
            ("time", "now"),
        ] {
            assert_eq!(record[field], expected, "{field}");
        }
        assert_eq!(record["sequence"], 1);
    }

    #[test]
    fn each_event_is_called_as_it_is_counted() {
        let (protocol, upstream): (_, Arc<str>) = ("redis", "cache".into());
        let name = || Naming::default().name_text("alice");
        let upstream = || Upstream(Arc::clone(&upstream));
        let database = || "0".to_owned();
        let events = [
            Event::TrailBegan {
                version: "1",
                user_ids: UserIds::Plain,
                on_failure: AuditFailure::Refuse,
                key: None,
                torn: None,
                unreadable: None,
            },
            Event::TrailEnded {},
            Event::RecordsDropped { count: 3 },
            Event::SegmentRemoved {
                file: "f".to_owned(),
                through: None,
            },
            Event::PolicyInForce {
                mode: Mode::Enforce,
                tier: Tier::Reset,
            },
            Event::PolicyRefused {
                reasons: vec!["JwtMissing".to_owned()],
            },
            Event::ContextAccepted {
                protocol,
                upstream: upstream(),
                whose: whose("alice"),
            },
            Event::ContextRefused {
                protocol,
                upstream: upstream(),
                reason: "missing",
                user: None,
            },
            Event::FactoryCreated {
                protocol,
                upstream: upstream(),
                database: database(),
                whose: whose("alice"),
            },
            Event::FactoryEnded {
                protocol,
                upstream: upstream(),
                database: database(),
                whose: whose("alice"),
                reason: FactoryEnd::Unused,
            },
            Event::ServerHandedOver {
                protocol,
                upstream: upstream(),
                from: Some(name()),
                to: None,
            },
            Event::TimedOut {
                protocol,
                upstream: upstream(),
                kind: TimeoutKind::IdleInTransaction,
                user: Some(name()),
            },
            Event::Cancelled {
                protocol,
                upstream: upstream(),
                by: Canceller::SocketLost,
                user: Some(name()),
            },
            Event::SessionRevoked {
                protocol,
                upstream: upstream(),
                user: name(),
            },
            Event::RevocationsInForce {
                list: "l".to_owned(),
                revocations: 2,
            },
            Event::RevocationsRefused {},
            Event::AdministratorActed {
                action: AdminAction::KillUser,
                outcome: ActionOutcome::Done,
                caller: "uid=0".to_owned(),
                user: Some(name()),
                upstream: None,
            },
        ];
        let labels: Vec<_> = events.iter().map(Event::label).collect();
        assert_eq!(labels, AuditEvent::ALL, "one of each, in order");
        for event in &events {
            assert_eq!(line(event)["event"], event.label().as_str());
        }
        assert_eq!(line(&events[11])["kind"], "idle_in_transaction");
        assert_eq!(line(&events[12])["by"], "socket_lost");
        assert_eq!(line(&events[9])["reason"], "unused");
    }
}
