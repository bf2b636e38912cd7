//! `spec.auditTrail`, resolved.

use serde::{Deserialize, Serialize};

use crate::kinds::{AuditDestination, AuditFailure, SecretKeyRef, UserIds};

/// `spec.auditTrail`, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveAuditTrail {
    /// Where the records go.
    pub destination: AuditDestination,
    /// The claim that the files are on; none: a volume of the pod's own.
    pub claim_name: Option<String>,
    /// Bytes after which the next file begins.
    pub max_bytes: u64,
    /// How many files are kept; none: all of them.
    pub segments: Option<u32>,
    /// How users are named.
    pub user_ids: UserIds,
    /// The key of the chain and of the users' names, `key` filled in; none: hashes without a key.
    pub key_secret_ref: Option<SecretKeyRef>,
    /// What happens while records cannot be written.
    pub on_failure: AuditFailure,
}
