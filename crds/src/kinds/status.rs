//! `status`: what the operator has observed. Written by the operator alone.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
