//! A database entry of a revision in the form in which the engine uses it.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::effective::{EffectiveDatabase, EffectivePolicy};
use bulkhead_crds::kinds::{IdentitySource, Mode, Protocol, SqlScope, Tier, UpstreamRole};
use bulkhead_crds::names::key_prefix::PrefixTemplate;

use crate::identity::Verifier;
use crate::protocol::postgres::handshake::{ClientAuth, ListenTls};
use crate::signed::SigningKeys;
use crate::telemetry::TimeoutKind;
use crate::upstream::Connector;

/// How far the server's own timeouts stand above the sidecar's: a backstop for a sidecar that has died.
const BACKSTOP: Duration = Duration::from_secs(2);

/// One database entry of a revision.
#[derive(Debug)]
pub struct DatabaseForce {
    /// The entry.
    pub settings: EffectiveDatabase,
    /// The policy that it stands in.
    pub policy: Arc<EffectivePolicy>,
    /// `namespace/name` of the policy, for factory keys.
    pub policy_key: Arc<str>,
    /// The entry's name, for factory keys.
    pub name: Arc<str>,
    /// Verifies user contexts.
    pub verifier: Arc<Verifier>,
    /// Dials the upstream.
    pub connector: Connector,
    /// Changes with what the upstream is: connections of an older epoch are not reused.
    pub epoch: u64,
    /// How the application authenticates.
    pub auth: ClientAuth,
    /// The certificate for clients that ask for TLS.
    pub tls: Option<ListenTls>,
    /// What claims to be a user are signed with, where row-level security asks for them.
    pub signing: Option<Arc<SigningKeys>>,
    /// What every key of a user begins with (Redis).
    pub key_prefix: Option<PrefixTemplate>,
}

impl DatabaseForce {
    /// How strictly connections are kept apart. Only a PostgreSQL session can be proven clean for another user, so for the other protocols
    /// `Reset` is `Dedicated`: stricter than what is asked.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match (self.policy.isolation.tier, self.settings.protocol) {
            (Tier::Reset, Protocol::Redis | Protocol::ClickHouse) => Tier::Dedicated,
            (tier, _) => tier,
        }
    }

    /// Whether each user's commands run as a Redis user of their own, which is held to their prefix.
    #[must_use]
    pub fn has_redis_users(&self) -> bool {
        self.settings.acl == UpstreamRole::PerUser && self.key_prefix.is_some()
    }

    /// Whether violations are refused.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.policy.mode == Mode::Enforce
    }

    /// Whether connections and queries are counted by whose work they are: where those without a user are served. Work of tier `Shared`
    /// is nobody's by right.
    #[must_use]
    pub fn takes_inventory(&self) -> bool {
        !self.enforces() && self.tier() != Tier::Shared
    }

    /// Whether a client's bare word for who it is counts.
    #[must_use]
    pub fn trusts(&self) -> bool {
        self.policy.identity.source == IdentitySource::Trusted
    }

    /// Whether a client may say in SQL who it works for, and how long that lasts where the statement does not say so.
    #[must_use]
    pub fn in_sql(&self) -> Option<SqlScope> {
        let allowed = self.policy.identity.in_sql;
        allowed.or_else(|| self.naming_setting().map(|_| SqlScope::Transaction))
    }

    /// The application's own setting that names its user, where its word counts.
    #[must_use]
    pub fn naming_setting(&self) -> Option<&str> {
        let trusted = self.policy.identity.trusted.as_ref();
        let trusted = trusted.filter(|_| self.trusts());
        trusted.and_then(|trusted| trusted.setting.as_deref())
    }

    /// The parameters that say on the server who the user is: the policy's own, and the one that the application reads.
    pub fn user_parameters(&self) -> impl Iterator<Item = &str> {
        let own = self.settings.user_parameter.as_deref();
        let setting = self
            .naming_setting()
            .filter(|setting| own.is_none_or(|own| !own.eq_ignore_ascii_case(setting)));
        own.into_iter().chain(setting)
    }

    /// Whether the policy names this parameter as one that clients may not change.
    #[must_use]
    pub fn names_fixed(&self, name: &str) -> bool {
        let mut fixed = self.settings.fixed_parameters.iter();
        fixed.any(|fixed| fixed.eq_ignore_ascii_case(name))
    }

    /// Whether clients may not change this parameter; in mode `Audit` they may change every one.
    #[must_use]
    pub fn fixes(&self, name: &str) -> bool {
        self.enforces() && self.names_fixed(name)
    }

    /// A field of this entry as error messages name it, with its value, the environment and where the value came from:
    /// `databases[main].timeouts.statement = 30s (environment staging, from base)`.
    #[must_use]
    pub fn name_field(&self, field: &str, value: &str) -> String {
        let path = format!("databases[{}].{field}", self.name);
        self.policy.name_field(&path, value)
    }

    /// A timeout as error messages name it.
    #[must_use]
    pub fn name_timeout(&self, kind: TimeoutKind) -> String {
        let timeouts = &self.settings.timeouts;
        let (field, value) = match kind {
            TimeoutKind::Connect => ("connect", Some(timeouts.connect)),
            TimeoutKind::Acquire => ("acquire", Some(timeouts.acquire)),
            TimeoutKind::Transaction => ("transaction", timeouts.transaction),
            TimeoutKind::IdleInTransaction => ("idleInTransaction", timeouts.idle_in_transaction),
            TimeoutKind::Idle => ("idle", timeouts.idle),
            TimeoutKind::Lifetime => ("lifetime", timeouts.lifetime),
            _ => ("statement", timeouts.statement),
        };
        let value = bulkhead_crds::names::Duration::from(value.unwrap_or_default()).to_string();
        self.name_field(&format!("timeouts.{field}"), &value)
    }

    /// What a server connection is opened with besides database and role: the server's own timeouts, 2 s above the
    /// sidecar's, as a backstop, and what the policy says, which counts where both do. A COPY is bounded by `transaction`
    /// alone, so the statement's backstop stands above both.
    #[must_use]
    pub fn server_parameters(&self) -> Vec<(&str, String)> {
        let timeouts = &self.settings.timeouts;
        let milliseconds =
            |limit: Option<Duration>| limit.map_or(0, |limit| (limit + BACKSTOP).as_millis());
        let statement = match (timeouts.statement, timeouts.transaction) {
            (Some(statement), Some(transaction)) => Some(statement.max(transaction)),
            _ => None,
        };
        let written = &self.settings.parameters;
        let own = [
            (
                "idle_in_transaction_session_timeout",
                milliseconds(timeouts.idle_in_transaction).to_string(),
            ),
            ("statement_timeout", milliseconds(statement).to_string()),
        ];
        let is_written = |name: &str| written.keys().any(|it| it.eq_ignore_ascii_case(name));
        let own = own.into_iter().filter(|(name, _)| !is_written(name));
        let policys = written
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        own.chain(policys).collect()
    }
}
