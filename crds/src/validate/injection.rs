//! Rules about the pods that a policy's sidecar is injected into.

use super::rule::{Complaints, complain};
use crate::effective::{EffectivePolicy, MISSED};
use crate::kinds::{Missed, Mode};

/// In Enforce a pod is refused rather than missed, so that there is little left to evict; who writes it may expect a rollout.
pub(super) fn evict_in_enforce(policy: &EffectivePolicy) -> Complaints {
    let evicts = policy.mode == Mode::Enforce && policy.missed == Some(Missed::Evict);
    let message = "is Evict in mode Enforce, where the guard refuses a pod rather than let it be missed: it reaches only pods that were missed while the mode was Audit, the namespace was not labelled or Bulkhead was not installed, and none that is older than the policy, which a rollout has to replace";
    evicts
        .then(|| complain(MISSED, message))
        .into_iter()
        .collect()
}
