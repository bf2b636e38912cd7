//! A database entry of an effective policy.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kinds::{
    AuthMode, ListenTls, PoolMode, Protocol, RowLevelSecurity, SecretKeyRef, SecretRef,
    TargetSessionAttrs, TlsMode, UpstreamRole,
};
use crate::names::{optional_duration, plain_duration};

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
    /// What every key of a user begins with (Redis).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<String>,
    /// As whom a user's commands run (Redis).
    #[serde(default, skip_serializing_if = "UpstreamRole::is_shared")]
    pub acl: UpstreamRole,
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
    /// As whom a user's work is done.
    #[serde(default, skip_serializing_if = "UpstreamRole::is_shared")]
    pub role: UpstreamRole,
    /// The name of a user's own role, with `{user}` in the place of the encoded id.
    #[serde(
        default = "default_user_template",
        skip_serializing_if = "is_default_user_template"
    )]
    pub user_template: String,
}

/// The name of a user's own role where the policy writes none.
#[must_use]
pub fn default_user_template() -> String {
    DEFAULT_USER_TEMPLATE.to_owned()
}

const DEFAULT_USER_TEMPLATE: &str = "bulkhead_{user}";

fn is_default_user_template(template: &str) -> bool {
    template == DEFAULT_USER_TEMPLATE
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
