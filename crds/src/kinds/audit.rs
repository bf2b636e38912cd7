//! `spec.auditTrail`: the record of what the sidecar has let in, refused and ended.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::choices::{AuditDestination, AuditFailure, UserIds};
use super::reference::SecretKeyRef;
use crate::names::Quantity;

/// The record of what the sidecar has let in, refused and ended: a line of JSON each, chained by hashes, so that a gap or an edit is
/// found (`bulkhead-sidecar audit verify`).
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditTrail {
    /// Where the records go: `StandardOutput` (the log is on standard error) or `File`. Default: `StandardOutput`.
    pub destination: Option<AuditDestination>,
    /// The files of destination `File`.
    pub file: Option<AuditFile>,
    /// How users are named: `Plain`, or `KeyedHash` (an HMAC under the key of `keySecretRef`). Default: `Plain`.
    pub user_ids: Option<UserIds>,
    /// The key, at least 32 bytes. With it the chain is one of HMACs, which whoever has the records and not the key cannot forge. The
    /// Secret's key is `key` unless another is named. Default: none.
    pub key_secret_ref: Option<SecretKeyRef>,
    /// What happens while records cannot be written: `Refuse` (no new user context is accepted) or `DropAndCount`. Default: `Refuse`.
    pub on_failure: Option<AuditFailure>,
}

/// The files of an audit trail, one after the other for each pod.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditFile {
    /// The PersistentVolumeClaim that they are on. Default: a volume of the pod's own, which ends with it.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::bounds::OBJECT_NAME))]
    pub claim_name: Option<String>,
    /// Bytes after which the next file begins; at least 64Ki. Default: 64Mi.
    pub max_bytes: Option<Quantity>,
    /// How many files are kept, the newest; the trail says which records went with the others. Default: all on a claim, 8 without one.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub segments: Option<u32>,
}
