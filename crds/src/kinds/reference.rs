//! References to Secrets. A policy never holds a secret itself.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A Secret of the policy's own namespace; outside Kubernetes the folder of that name under `--secrets`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::bounds::OBJECT_NAME))]
    pub name: String,
}

/// One key of a Secret of the policy's own namespace; outside Kubernetes a file of that name in the Secret's folder.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::bounds::OBJECT_NAME))]
    pub name: String,
    /// The key; which one is meant without it is said where the reference stands.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::bounds::SECRET_KEY))]
    pub key: Option<String>,
}
