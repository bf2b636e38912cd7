//! The effective policy: what one environment gets after base, overlay and defaults have been merged.
//!
//! Plain values, ready for use: no `Option` that means "see the default", no unparsed duration. `None` in a timeout means
//! that it is switched off (written `0s` in a policy). Where each value came from stands beside them in [`Origins`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kinds::{
    AuthMode, Compression, IdentitySource, Jwt, ListenTls, Missed, Mode, OnDisconnect, OptOut,
    PlainHttp, PoolMode, PortClosing, Protocol, RowLevelSecurity, SecretKeyRef, SecretRef,
    SignedContext, SlowConsumer, SqlScope, TargetSessionAttrs, Tier, TlsMode, TokenSource, Trusted,
    WhenFull,
};
use crate::names::{optional_duration, plain_duration};

/// The path of [`EffectivePolicy::missed`].
pub(crate) const MISSED: &str = "injection.missed";
/// The path of [`EffectivePolicy::network_policy`].
pub(crate) const NETWORK_POLICY: &str = "injection.networkPolicy";

/// One policy resolved for one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePolicy {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; `default` where the file names none.
    pub namespace: String,
    /// The environment that it was resolved for.
    pub environment: String,
    /// What the operator calls the cluster, which is a part of the name of whoever issues context tokens; none where nobody has named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whether violations are refused or only counted.
    pub mode: Mode,
    /// How a user context is verified.
    pub identity: EffectiveIdentity,
    /// How strictly server connections are kept apart.
    pub isolation: EffectiveIsolation,
    /// Bounds for the whole sidecar.
    pub limits: EffectiveLimits,
    /// The databases, in the order of the policy.
    pub databases: Vec<EffectiveDatabase>,
    /// The WebSocket listeners, in the order of the policy.
    pub web_sockets: Vec<EffectiveWebSocket>,
    /// Environment variables that injection adds to the application's containers.
    pub inject_env: BTreeMap<String, String>,
    /// Whether a pod's annotation may keep the sidecar out.
    pub opt_out: OptOut,
    /// What becomes of a pod that was made while nothing could inject it; none where it came by a snapshot, for sidecars have no part in it.
    #[serde(skip)]
    pub missed: Option<Missed>,
    /// What closes the application's own port to the network; none where it came by a snapshot, for sidecars have no part in it.
    #[serde(skip)]
    pub network_policy: Option<PortClosing>,
    /// What `upstream.host` and `jwks.uri` may reach although it is barred by itself.
    pub allowed_upstreams: Vec<String>,
    /// Where each field's value came from.
    pub origins: Origins,
}

impl EffectivePolicy {
    /// A field as error messages name it: its path, its value, the environment, and where the value came from
    /// (`limits.maxUsers = 100 (environment staging, from base)`).
    #[must_use]
    pub fn name_field(&self, path: &str, value: impl fmt::Display) -> String {
        let environment = &self.environment;
        let origin = match self.origins.of(path) {
            // Its name has just been said.
            Origin::Environment(name) if name == environment => "its overlay".to_owned(),
            other => other.to_string(),
        };
        format!("{path} = {value} (environment {environment}, from {origin})")
    }

    /// Whether there are sessions that survive their connection, and so a reason for pods to reach each other.
    #[must_use]
    pub fn resumes(&self) -> bool {
        self.web_sockets
            .iter()
            .any(EffectiveWebSocket::offers_resume)
    }
}

/// Where a field's value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Not written in the policy: Bulkhead's default.
    Default,
    /// Written in the policy's base.
    Base,
    /// Written in the overlay of this environment.
    Environment(String),
    /// One pod's part of a limit that all pods of the policy have together.
    Share {
        /// The pods that it is divided by.
        pods: u32,
        /// The limit of all pods together.
        whole: u32,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Base => f.write_str("base"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Share { pods, whole } => write!(f, "{whole} shared by {pods} pods"),
        }
    }
}

/// The origin of every leaf field, by path (`databases[main].timeouts.statement`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origins(pub BTreeMap<String, Origin>);

impl Origins {
    /// The origin of the field at `path`; [`Origin::Default`] for a path that nothing has written.
    #[must_use]
    pub fn of(&self, path: &str) -> &Origin {
        self.0.get(path).unwrap_or(&Origin::Default)
    }

    /// The origin of what lies at `path` or, where that is a part of a list that is replaced as a whole, of the list
    /// (`webSockets[chat].tokens[0].key`).
    pub(crate) fn around(&self, path: &str) -> &Origin {
        let ends = path.rmatch_indices(['.', '[']).map(|(at, _)| at);
        let mut around = std::iter::once(path.len()).chain(ends);
        around
            .find_map(|end| self.0.get(&path[..end]))
            .unwrap_or(&Origin::Default)
    }
}

/// `spec.identity`, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveIdentity {
    /// How a user context is verified. The settings below are there as the policy writes them; this alone says which of them counts.
    pub source: IdentitySource,
    /// Settings of `Jwt`, `user_claim` and `leeway` filled in.
    pub jwt: Option<Jwt>,
    /// Settings of `SignedContext`, the audience and the keys filled in. Always there with that source; with another one where written,
    /// and then a context token is accepted beside it.
    pub signed_context: Option<SignedContext>,
    /// Settings of `Trusted`.
    pub trusted: Option<Trusted>,
    /// How long a user context that was set in SQL lasts; none: identity in SQL is not allowed.
    pub in_sql: Option<SqlScope>,
    /// Whether ids such as `null` or `anonymous` are refused.
    pub reject_placeholders: bool,
}

/// `spec.isolation`, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveIsolation {
    /// How strictly server connections are kept apart.
    pub tier: Tier,
    /// What a user's lost WebSocket does to their work.
    pub on_disconnect: OnDisconnect,
}

/// `spec.limits`, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveLimits {
    /// Users with a factory at one time.
    pub max_users: u32,
    /// Bytes that one user's buffers and statements may hold.
    pub memory_per_user: u64,
}

/// One entry of `spec.databases`, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveDatabase {
    /// The entry's name.
    pub name: String,
    /// The wire protocol.
    pub protocol: Protocol,
    /// Where the sidecar listens.
    pub listen: EffectiveListen,
    /// What the sidecar dials.
    pub upstream: EffectiveUpstream,
    /// How server connections are pooled.
    pub pool: EffectivePool,
    /// The seven timeouts.
    pub timeouts: EffectiveTimeouts,
    /// When the breaker opens.
    pub breaker: EffectiveBreaker,
    /// A run-time parameter that tells SQL who the user is.
    pub user_parameter: Option<String>,
    /// How row-level security learns who the user is.
    pub row_level_security: RowLevelSecurity,
    /// The keys that claims are signed with.
    pub signing_key_secret_ref: Option<SecretKeyRef>,
    /// The run-time parameters with which server connections are opened.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The run-time parameters that clients may not set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed_parameters: Vec<String>,
}

/// `databases[].listen`, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveListen {
    /// The address; loopback unless the policy says otherwise.
    pub address: IpAddr,
    /// The port; 0 lets the kernel choose.
    pub port: u16,
    /// A directory for a Unix socket, beside the port.
    pub socket: Option<String>,
    /// The user ids that may connect by the socket; empty: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_uids: Vec<u32>,
    /// Where the certificate for clients that ask for TLS comes from; none: `SSLRequest` is answered `N`.
    pub tls: Option<ListenTls>,
    /// Keys `tls.crt` and `tls.key`, where `tls` is `Secret`.
    pub tls_secret_ref: Option<SecretRef>,
    /// How the application authenticates to the sidecar.
    pub auth_mode: AuthMode,
    /// The password for `Scram`.
    pub auth_secret_ref: Option<SecretKeyRef>,
}

/// `databases[].upstream`, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveUpstream {
    /// Host name, address, or (leading `/`) the directory of a Unix socket; of several the first.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The servers behind the first, in the order in which they are tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_hosts: Vec<EffectiveHost>,
    /// Which servers will do.
    #[serde(default, skip_serializing_if = "TargetSessionAttrs::is_any")]
    pub target_session_attrs: TargetSessionAttrs,
    /// The database that spares and probes use; none: the client's.
    pub database: Option<String>,
    /// How TLS is negotiated and verified.
    pub tls_mode: TlsMode,
    /// Keys `ca.crt`: the certificate authority for `VerifyCa` and `VerifyFull`.
    pub tls_ca_secret_ref: Option<SecretRef>,
    /// Keys `username` and `password`.
    pub credentials_secret_ref: Option<SecretRef>,
}

/// One of several servers, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveHost {
    /// Host name, address, or (leading `/`) the directory of a Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for EffectiveHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl EffectiveUpstream {
    /// Every server, in the order in which they are tried.
    pub fn hosts(&self) -> impl Iterator<Item = EffectiveHost> + '_ {
        let first = EffectiveHost {
            host: self.host.clone(),
            port: self.port,
        };
        std::iter::once(first).chain(self.other_hosts.iter().cloned())
    }

    /// The field that says where the servers are: `host`, or `hosts` where there are several.
    #[must_use]
    pub fn host_field(&self) -> &'static str {
        if self.other_hosts.is_empty() {
            "upstream.host"
        } else {
            "upstream.hosts"
        }
    }
}

/// `databases[].pool`, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePool {
    /// When a server connection goes back.
    pub mode: PoolMode,
    /// Server connections that one user may hold.
    pub per_user_max: u32,
    /// Server connections of all users together.
    pub max_connections: u32,
    /// Authenticated connections kept ready for users who have none.
    pub warm: u32,
    /// Spares opened per second at the most.
    pub warm_rate: u32,
}

/// `databases[].timeouts`, resolved. `None`: switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveTimeouts {
    /// DNS, TCP, TLS and authentication together; never off.
    #[serde(with = "plain_duration")]
    pub connect: Duration,
    /// The wait for a permit; never off.
    #[serde(with = "plain_duration")]
    pub acquire: Duration,
    /// From the first byte forwarded to `ReadyForQuery`.
    #[serde(with = "optional_duration")]
    pub statement: Option<Duration>,
    /// From the first statement to the end of the transaction.
    #[serde(with = "optional_duration")]
    pub transaction: Option<Duration>,
    /// A client's silence inside a transaction.
    #[serde(with = "optional_duration")]
    pub idle_in_transaction: Option<Duration>,
    /// A server connection unused in the pool.
    #[serde(with = "optional_duration")]
    pub idle: Option<Duration>,
    /// A server connection's age, jittered by up to a tenth.
    #[serde(with = "optional_duration")]
    pub lifetime: Option<Duration>,
}

/// `databases[].breaker`, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveBreaker {
    /// Failures within `window` that open it.
    pub failures: u32,
    /// The window in which failures are counted.
    #[serde(with = "plain_duration")]
    pub window: Duration,
    /// How long it stays open.
    #[serde(with = "plain_duration")]
    pub open: Duration,
    /// Trial connections while half open.
    pub half_open_probes: u32,
}

/// `webSockets[].execution`, resolved. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveExecution {
    /// From the user's request to the run's first event.
    #[serde(with = "optional_duration")]
    pub start: Option<Duration>,
    /// Between two events of a run.
    #[serde(with = "optional_duration")]
    pub progress: Option<Duration>,
    /// A whole run.
    #[serde(with = "optional_duration")]
    pub total: Option<Duration>,
}

/// One entry of `spec.webSockets`, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveWebSocket {
    /// The entry's name.
    pub name: String,
    /// The port that the sidecar listens on.
    pub port: u16,
    /// The container port name that it takes over.
    pub takes_over: Option<String>,
    /// The application's port.
    pub upstream_port: u16,
    /// Where a client's token is looked for.
    pub tokens: Vec<TokenSource>,
    /// What becomes of requests that are no WebSockets.
    pub plain_http: PlainHttp,
    /// The origins whose pages may open a socket; none: see [`crate::kinds::WebSocket::allowed_origins`].
    pub allowed_origins: Option<Vec<String>>,
    /// What the paths begin with at which sockets are opened; empty: every path.
    pub paths: Vec<String>,
    /// The path at which a client renews its token; none: nowhere.
    pub token_path: Option<String>,
    /// The time for an upgrade.
    #[serde(with = "plain_duration")]
    pub handshake: Duration,
    /// Silence in both directions.
    #[serde(with = "optional_duration")]
    pub idle: Option<Duration>,
    /// Between pings.
    #[serde(with = "optional_duration")]
    pub ping: Option<Duration>,
    /// From a ping to its pong.
    #[serde(with = "plain_duration")]
    pub pong: Duration,
    /// A socket's age.
    #[serde(with = "optional_duration")]
    pub max_lifetime: Option<Duration>,
    /// How long a handshake is held while the application starts.
    #[serde(with = "plain_duration")]
    pub cold_start: Duration,
    /// How long a socket outlives its token.
    #[serde(with = "plain_duration")]
    pub expiry_grace: Duration,
    /// Sockets of one user.
    pub connections_per_user: u32,
    /// What becomes of one more.
    pub when_full: WhenFull,
    /// Bytes of one message from a client.
    pub message_bytes: u64,
    /// Messages a second from one user.
    pub messages_per_second: u32,
    /// Bytes buffered for one user.
    pub buffer_per_user: u64,
    /// What becomes of a client that does not read.
    pub slow_consumer: SlowConsumer,
    /// Whether messages may be compressed.
    pub compression: Compression,
    /// Whether text messages are checked to be UTF-8.
    pub validate_utf8: bool,
    /// How long a lost socket may be resumed.
    #[serde(with = "plain_duration")]
    pub resume_window: Duration,
    /// Bytes kept for a resume.
    pub resume_buffer: u64,
    /// Bytes kept for the resumes of all sockets.
    pub resume_total: u64,
    /// How long runs may take.
    pub execution: EffectiveExecution,
    /// Events that are never dropped.
    pub critical_events: Vec<String>,
}

impl EffectiveWebSocket {
    /// Whether clients may opt in to sessions that survive their connection.
    #[must_use]
    pub const fn offers_resume(&self) -> bool {
        !self.resume_window.is_zero() && self.resume_buffer > 0
    }
}
