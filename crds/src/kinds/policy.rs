//! The kind `IsolationPolicy` itself.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    AuditTrail, Database, Environment, Identity, Inject, Injection, IsolationPolicyStatus, Mode,
    OnDisconnect, Selector, Tier, WebSocket,
};
use crate::names::Quantity;

/// How the users of a multi-user application are kept apart: on the way to its databases and on the WebSockets that reach it.
// Each print column repeats the keys of the one before; clippy takes them for duplicates.
#[allow(clippy::duplicated_attributes)]
#[serde_with::skip_serializing_none]
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bulkhead.dev",
    version = "v1alpha1",
    kind = "IsolationPolicy",
    doc = "Keeps the users of a multi-user application apart, on the way to its databases and on the WebSockets that reach it.",
    namespaced,
    status = "IsolationPolicyStatus",
    derive = "PartialEq",
    shortname = "ipol",
    category = "bulkhead",
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.mode",
        description = "Enforce or Audit; Enforce where nothing is shown"
    ),
    printcolumn(
        name = "Environment",
        type_ = "string",
        json_path = ".status.environment"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].status"
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Programmed')].status"
    ),
    printcolumn(
        name = "In-Sync",
        type_ = "integer",
        json_path = ".status.pods.inSync",
        description = "Pods whose sidecar has this policy in force"
    ),
    printcolumn(
        name = "Eligible",
        type_ = "integer",
        json_path = ".status.pods.eligible",
        description = "Pods that the policy selects"
    ),
    printcolumn(
        name = "Compliance",
        type_ = "string",
        json_path = ".status.compliance.ratio",
        priority = 1
    ),
    printcolumn(
        name = "Identity",
        type_ = "string",
        json_path = ".spec.identity.source",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::finish::complete)]
#[x_kube(validation = Rule::new("!has(self.environments) || self.environments.all(e, !has(e.databases) || e.databases.all(d, has(self.databases) && self.databases.exists(b, b.name == d.name)))")
    .message("an environment overrides a database that the policy does not have").field_path(".environments"))]
#[x_kube(validation = Rule::new("!has(self.environments) || self.environments.all(e, !has(e.webSockets) || e.webSockets.all(w, has(self.webSockets) && self.webSockets.exists(b, b.name == w.name)))")
    .message("an environment overrides a WebSocket listener that the policy does not have").field_path(".environments"))]
pub struct IsolationPolicySpec {
    /// The pods that the policy is for. Required; an empty selector (`{}`) is every pod of the namespace.
    pub selector: Selector,
    /// What happens to a violation: `Enforce` (refused) or `Audit` (let through, counted and reported). Default: `Enforce`.
    pub mode: Option<Mode>,
    /// How a user context is verified.
    pub identity: Identity,
    /// How strictly users are kept apart.
    pub isolation: Option<Isolation>,
    /// Bounds for the whole sidecar.
    pub limits: Option<Limits>,
    /// The databases that the application reaches through the sidecar. Default: none.
    #[schemars(length(max = 16), transform = super::bounds::list_by_name)]
    pub databases: Option<Vec<Database>>,
    /// The WebSocket listeners in front of the application. Default: none.
    #[schemars(length(max = 16), transform = super::bounds::list_by_name)]
    pub web_sockets: Option<Vec<WebSocket>>,
    /// What single environments have different. Lists merge by name, everything else field by field.
    #[schemars(with = "Option<Vec<serde_json::Value>>", length(max = 16), transform = super::bounds::list_by_name)]
    pub environments: Option<Vec<Environment>>,
    /// What injection adds to the application's containers.
    pub inject: Option<Inject>,
    /// Which pods the sidecar is injected into.
    pub injection: Option<Injection>,
    /// The record of what the sidecar has let in, refused and ended. Default: none.
    pub audit_trail: Option<AuditTrail>,
    /// Addresses, networks and host names that `upstream.host` and `jwks.uri` may reach although they are link-local, loopback or the API
    /// server's. Without Kubernetes nothing is barred. Default: none.
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_upstreams: Option<Vec<String>>,
}

/// How strictly users are kept apart.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Isolation {
    /// `Dedicated` (a server connection belongs to one user from first use to close), `Reset` (it may cross after ROLLBACK and DISCARD
    /// ALL) or `Shared` (work that belongs to no user). Default: `Dedicated`.
    pub tier: Option<Tier>,
    /// What a user's lost WebSocket does to their work: `Cancel`, `Drain` (it may finish, nothing new starts) or `Keep`. Default:
    /// `Cancel`.
    pub on_disconnect: Option<OnDisconnect>,
}

/// Bounds for the whole sidecar.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Users that are connected at one time, in one pod. Default: 10000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_users: Option<u32>,
    /// Bytes that one user's buffers and statements may hold: a cap, not a reservation. Default: 1Mi.
    pub memory_per_user: Option<Quantity>,
}
