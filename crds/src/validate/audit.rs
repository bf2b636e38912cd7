//! Rules about the audit trail.

use super::rule::{Complaints, complain};
use crate::effective::{EffectiveAuditTrail, EffectivePolicy};
use crate::kinds::{AuditDestination, UserIds};

/// A file that is smaller holds so few records that the trail is mostly names of files.
const SMALLEST: u64 = 64 * 1024;

/// Hashes of ids are made under a key: without one, whoever guesses an id finds its hash.
pub(super) fn key_missing(policy: &EffectivePolicy) -> Complaints {
    of_trail(policy, "keySecretRef", |trail| {
        let needs = trail.user_ids == UserIds::KeyedHash && trail.key_secret_ref.is_none();
        needs.then_some("is missing, and userIds KeyedHash needs it: name a Secret with 32 random bytes or more under `key`, or write userIds Plain")
    })
}

/// A size that a file can have.
pub(super) fn segment_small(policy: &EffectivePolicy) -> Complaints {
    of_trail(policy, "file.maxBytes", |trail| {
        (trail.max_bytes < SMALLEST)
            .then_some("is below 64Ki, which a few hundred records fill: write 64Ki or more")
    })
}

/// What is written about files of a trail that has none.
pub(super) fn file_unused(policy: &EffectivePolicy) -> Complaints {
    of_trail(policy, "file", |trail| {
        let written = policy.origins.0.keys();
        let mut written = written.filter(|path| path.starts_with("auditTrail.file."));
        (trail.destination == AuditDestination::StandardOutput && written.next().is_some())
            .then_some("plays no part with destination StandardOutput: write destination File, or leave it out")
    })
}

/// A pod's own volume is no archive.
pub(super) fn ends_with_pod(policy: &EffectivePolicy) -> Complaints {
    of_trail(policy, "file.claimName", |trail| {
        (trail.destination == AuditDestination::File && trail.claim_name.is_none())
            .then_some("is missing, and in a cluster the files are then on a volume that ends with its pod: name a PersistentVolumeClaim, or write destination StandardOutput and have the cluster's logs kept")
    })
}

fn of_trail(
    policy: &EffectivePolicy,
    field: &str,
    fault: impl Fn(&EffectiveAuditTrail) -> Option<&'static str>,
) -> Complaints {
    let fault = policy.audit_trail.as_ref().and_then(fault);
    let complaint = |fault| complain(format!("auditTrail.{field}"), fault);
    fault.map(complaint).into_iter().collect()
}
