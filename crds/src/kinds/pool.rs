//! What bounds a database's work: the pool, the timeouts, the breaker, and what a session is told.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{PoolMode, RowLevelSecurity, SecretKeyRef, UpstreamRole};
use crate::names::Duration;

/// How server connections are pooled.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.warm) || !has(self.maxConnections) || self.warm <= self.maxConnections")
    .message("warm may not exceed maxConnections").field_path(".warm"))]
#[x_kube(validation = Rule::new("!has(self.perUser) || !has(self.perUser.max) || !has(self.maxConnections) || self.perUser.max <= self.maxConnections")
    .message("perUser.max may not exceed maxConnections").field_path(".perUser.max"))]
pub struct Pool {
    /// When a server connection goes back: `Session` (when the client disconnects) or `Transaction` (when the transaction ends).
    /// Default: `Transaction`.
    pub mode: Option<PoolMode>,
    /// Bounds for one user.
    pub per_user: Option<PerUser>,
    /// Server connections of all users and all pods together; run alone, the sidecar has all of them. Default: 200.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_connections: Option<u32>,
    /// Authenticated connections kept ready for users who have none yet. Default: 0.
    #[schemars(range(max = 10_000))]
    pub warm: Option<u32>,
    /// Spares opened per second at the most. Default: 10.
    #[schemars(range(min = 1, max = 1_000))]
    pub warm_rate: Option<u32>,
}

/// Bounds for one user.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PerUser {
    /// Server connections that one user may hold. Default: 4.
    #[schemars(range(min = 1, max = 10_000))]
    pub max: Option<u32>,
}

/// The seven timeouts. `0s` switches one off, except `connect` and `acquire`.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// DNS, TCP, TLS and authentication together; a managed database that wakes up needs 10s and more. Default: 10s.
    pub connect: Option<Duration>,
    /// The wait for a permit, before `connect` starts. Default: 3s.
    pub acquire: Option<Duration>,
    /// From the first byte forwarded to the answer's end. Default: 30s.
    pub statement: Option<Duration>,
    /// From the first statement to the end of the transaction. Default: 60s.
    pub transaction: Option<Duration>,
    /// A client's silence inside a transaction. Default: 30s.
    pub idle_in_transaction: Option<Duration>,
    /// How long a server connection stays unused in the pool. Default: 10m.
    pub idle: Option<Duration>,
    /// A server connection's age, jittered by up to a tenth. Default: 1h.
    pub lifetime: Option<Duration>,
}

/// When the sidecar stops dialling an upstream that cannot be reached, and stops the work of a user whose own keeps failing.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Breaker {
    /// Failures within `window` that open it. Default: 5.
    #[schemars(range(min = 1, max = 10_000))]
    pub failures: Option<u32>,
    /// The window in which failures are counted. Default: 30s.
    pub window: Option<Duration>,
    /// How long it stays open. Default: 15s.
    pub open: Option<Duration>,
    /// Trials while half open: connections to the upstream, or pieces of the user's work. Default: 2.
    #[schemars(range(min = 1, max = 100))]
    pub half_open_probes: Option<u32>,
}

/// What a server session is told about its user.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Session {
    /// A run-time parameter that the sidecar sets to the user's id, such as `app.user_id`, for row-level security to read; for ClickHouse a
    /// custom setting, such as `SQL_bulkhead_user`, for row policies. SQL can overwrite it: a convenience, no boundary. Default: none.
    #[schemars(length(min = 3, max = 127), regex(pattern = super::bounds::SETTING))]
    pub user_parameter: Option<String>,
    /// How row-level security learns who the user is: `Parameter` (from `userParameter`) or `Signed` (from a claim that SQL cannot
    /// forge, by `bulkhead.user_id()`; not with identity `Trusted` nor in tier `Shared`). Default: `Parameter`.
    pub row_level_security: Option<RowLevelSecurity>,
    /// The keys that claims are signed with, where `rowLevelSecurity` is `Signed`: a line each, `ID BASE64`, of 32 random bytes or more.
    /// The first that the database has too signs. `key` without it is `signing-keys`.
    pub signing_key_secret_ref: Option<SecretKeyRef>,
    /// Run-time parameters with which every server connection is opened (`lock_timeout: 2s`, `search_path: app`). They are what RESET and
    /// DISCARD ALL go back to; a client may set others over them. For ClickHouse, settings of every query. Default: none.
    #[schemars(extend("maxProperties" = 32), transform = super::bounds::bound_parameter_values)]
    pub parameters: Option<BTreeMap<String, String>>,
    /// Run-time parameters that clients may not set, at their login or in SQL as far as its words show; `role` and
    /// `session_authorization` may be among them. RESET is allowed. For ClickHouse, settings that no address and no visible SETTINGS clause
    /// may change. Default: none.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 127)), extend("x-kubernetes-list-type" = "set"))]
    pub fixed_parameters: Option<Vec<String>>,
    /// For Redis: what every key and channel of a user begins with on the server, and no client sees; `{user}` stands for the user's id,
    /// percent-encoded. Commands that could see other users' keys are refused. Default: none, and all users share their keys.
    #[schemars(length(min = 7, max = 128))]
    pub key_prefix: Option<String>,
    /// For Redis, beside `keyPrefix`: as whom a user's commands run: `Shared` (all as `username` of `upstream.credentialsSecretRef`), or `PerUser`
    /// (each as a Redis user of their own, which the server holds to their prefix, so that they may run scripts; `username` must be allowed
    /// ACL SETUSER). Default: `Shared`.
    pub acl: Option<UpstreamRole>,
}
