//! The kind `UserRevocation`: a user who is cut off, everywhere in a namespace at once.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::Condition;
use crate::names::Timestamp;

/// A user who is cut off.
#[allow(clippy::duplicated_attributes)]
#[serde_with::skip_serializing_none]
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bulkhead.dev",
    version = "v1alpha1",
    kind = "UserRevocation",
    doc = "Cuts a user off, in every pod of the namespace that has a sidecar: what is open ends, and what was issued up to a moment is refused.",
    namespaced,
    status = "UserRevocationStatus",
    derive = "PartialEq",
    shortname = "urev",
    category = "bulkhead",
    printcolumn(name = "User", type_ = "string", json_path = ".spec.user"),
    printcolumn(
        name = "NotBefore",
        type_ = "string",
        json_path = ".status.notBefore",
        description = "Contexts that were issued up to this moment are refused"
    ),
    printcolumn(
        name = "Enforced",
        type_ = "string",
        json_path = ".status.enforced",
        description = "Pods that enforce it, of those with a sidecar"
    ),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Enforced')].reason",
        priority = 1
    ),
    printcolumn(
        name = "ExpiresAt",
        type_ = "string",
        json_path = ".spec.expiresAt",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::finish::tidy)]
#[x_kube(validation = Rule::new("self.user == oldSelf.user")
    .message("a revocation is of one user for good: write another object for another user").field_path(".user"))]
#[x_kube(validation = Rule::new("has(self.notBefore) == has(oldSelf.notBefore) && (!has(self.notBefore) || self.notBefore == oldSelf.notBefore)")
    .message("the moment of a revocation does not change: write another object for a later one").field_path(".notBefore"))]
#[x_kube(validation = Rule::new("!has(self.notBefore) || !has(self.expiresAt) || self.expiresAt > self.notBefore")
    .message("a revocation cannot end before the moment that it is about").field_path(".expiresAt"))]
pub struct UserRevocationSpec {
    /// The id of the user, exactly as tokens or the application name them.
    #[schemars(length(min = 1, max = 256), regex(pattern = super::bounds::USER))]
    pub user: String,
    /// What was issued at this moment or before it is refused (RFC 3339); a token says when it was issued in its claim `iat`. A user who is
    /// named without a token, or by one that does not say when it was issued, is refused as long as the revocation lasts. Default: the moment
    /// at which the object was created.
    pub not_before: Option<Timestamp>,
    /// Until when it lasts (RFC 3339). A token that is older than `notBefore` and still valid then is taken again. Default: until the object is
    /// deleted.
    pub expires_at: Option<Timestamp>,
    /// Why, in one CamelCase word such as `TokenLeaked`. Clients are shown it, and nothing else that is written here. Default: none.
    #[schemars(length(min = 1, max = 63), regex(pattern = super::bounds::CODE))]
    pub reason: Option<String>,
}

/// What the operator has observed.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = super::finish::tidy)]
pub struct UserRevocationStatus {
    /// `Enforced`: every pod of the namespace that has a sidecar refuses the user.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
    /// The generation of the revocation that this status speaks of.
    pub observed_generation: Option<i64>,
    /// What was issued at this moment or before it is refused: `spec.notBefore`, or the moment of the creation.
    pub not_before: Option<Timestamp>,
    /// The pods of the namespace that have a sidecar.
    pub pods: Option<RevocationPods>,
    /// The same in one text, such as `3/3`.
    #[schemars(length(max = 32))]
    pub enforced: Option<String>,
}

/// The pods of the namespace that have a sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevocationPods {
    /// Whose sidecar has said that it enforces the revocation.
    pub enforcing: u32,
    /// All of them.
    pub total: u32,
}
