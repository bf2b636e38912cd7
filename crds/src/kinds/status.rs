//! `status`: what the operator has observed. Written by the operator alone.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mode;

/// What the operator has observed.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = super::finish::tidy)]
pub struct IsolationPolicyStatus {
    /// `Accepted` (the policy is sound and in force for its pods), `Programmed` (the pods have it) and `Degraded` (a way round it is open).
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
    /// The generation of the policy that this status speaks of.
    pub observed_generation: Option<i64>,
    /// The environment that the policy was resolved for.
    #[schemars(length(max = 63))]
    pub environment: Option<String>,
    /// The pods that the policy selects.
    pub pods: Option<Pods>,
    /// How much of the traffic names its user.
    pub compliance: Option<Compliance>,
    /// Which applications name their users and which do not, in mode `Audit`.
    pub inventory: Option<Inventory>,
    /// What would make the policy work better.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub advice: Option<Vec<Advice>>,
}

/// One aspect of the policy's state, in Kubernetes' own form.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect, in CamelCase.
    #[schemars(length(min = 1, max = 316))]
    pub r#type: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one CamelCase word.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: String,
    /// Why, in a sentence that says how to mend it.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// When `status` last changed (RFC 3339).
    #[schemars(length(max = 40), extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// The generation of the policy that this condition speaks of.
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows yet.
    Unknown,
}

/// The pods that the policy selects.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// Selected by the policy.
    pub eligible: u32,
    /// With a sidecar.
    pub injected: u32,
    /// With a sidecar that has the newest policy in force.
    pub in_sync: u32,
    /// Selected and without a sidecar, by reason.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["reason"]))]
    pub skipped: Option<Vec<Skipped>>,
}

/// Pods without a sidecar, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// Why they have none, in one CamelCase word.
    #[schemars(length(min = 1, max = 128))]
    pub reason: String,
    /// How many.
    pub count: u32,
}

/// How much of the traffic names its user.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compliance {
    /// Connections that named a user, since the pods started.
    pub attributed: i64,
    /// Connections in all.
    pub total: i64,
    /// The first as a share of the second, such as `98.5%`; none while there are no connections.
    #[schemars(length(max = 8))]
    pub ratio: Option<String>,
    /// The queries that were counted for the inventory; none in mode `Enforce`, which counts none.
    pub queries: Option<QueryCompliance>,
    /// How the ratio has come about: a step for every change of the mode or the environment and for every whole percent, the last ten.
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Option<Vec<ComplianceStep>>,
}

/// How many of the queries name their user, since the pods that live now started.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueryCompliance {
    /// Under a verified user context.
    pub verified: i64,
    /// A comment or the application's name names a user, which nothing proves: mode `Enforce` would refuse them.
    pub claimed: i64,
    /// A placeholder was named, which is nobody.
    pub placeholder: i64,
    /// Queries in all.
    pub total: i64,
    /// The verified ones as a share of all, such as `98.5%`; none while there are no queries.
    #[schemars(length(max = 8))]
    pub ratio: Option<String>,
}

/// What the compliance was at some time.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComplianceStep {
    /// When (RFC 3339).
    #[schemars(length(max = 40), extend("format" = "date-time"))]
    pub time: String,
    /// The environment.
    #[schemars(length(max = 63))]
    pub environment: String,
    /// The mode in force.
    pub mode: Mode,
    /// The share of connections that named their user; none where there had been no connections.
    #[schemars(length(max = 8))]
    pub ratio: Option<String>,
    /// Connections that the ratio is of: those of the pods that lived then, since each had started.
    pub connections: i64,
}

/// Which applications name their users: the inventory of a migration, counted since the pods that live now started.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// When this was counted (RFC 3339).
    #[schemars(length(max = 40), extend("format" = "date-time"))]
    pub time: String,
    /// Those first that name nobody in most queries.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub rows: Vec<InventoryRow>,
    /// How many rows more there are than are shown.
    pub truncated: u32,
}

/// What one application of one workload has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryRow {
    /// What made the pods, such as `deployment/web`.
    #[schemars(length(max = 320))]
    pub workload: String,
    /// `postgresql`, `redis`, `clickhouse` or `websocket`.
    #[schemars(length(max = 16))]
    pub protocol: String,
    /// What its clients call themselves; `other` for those beyond the hundredth of a pod, empty for who gives no name.
    #[schemars(length(max = 63))]
    pub application: String,
    /// Its connections.
    pub connections: AttributionCounts,
    /// Its queries.
    pub queries: AttributionCounts,
}

/// Connections or queries, by what is known of whose work they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttributionCounts {
    /// Under a verified user context.
    pub verified: i64,
    /// A comment or the application's name names a user, which nothing proves.
    pub claimed: i64,
    /// A placeholder was named, which is nobody.
    pub placeholder: i64,
    /// Nobody was named.
    pub unattributed: i64,
}

impl AttributionCounts {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.verified
            .saturating_add(self.claimed)
            .saturating_add(self.nobodys())
    }

    /// Those of which nobody knows whose they are.
    #[must_use]
    pub const fn nobodys(&self) -> i64 {
        self.placeholder.saturating_add(self.unattributed)
    }

    /// The sum of both.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            verified: self.verified.saturating_add(other.verified),
            claimed: self.claimed.saturating_add(other.claimed),
            placeholder: self.placeholder.saturating_add(other.placeholder),
            unattributed: self.unattributed.saturating_add(other.unattributed),
        }
    }
}

/// What would make the policy work better.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// What was seen, in one CamelCase word.
    #[schemars(length(min = 1, max = 128))]
    pub reason: String,
    /// What to do, in a sentence.
    #[schemars(length(min = 1, max = 1024))]
    pub message: String,
    /// The field that it is about. Default: the policy as a whole.
    #[schemars(length(max = 512))]
    pub path: Option<String>,
}
