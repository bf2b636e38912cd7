//! Rules about the pods that a policy's sidecar is injected into.

use super::rule::{Complaints, complain};
use crate::effective::{EffectivePolicy, MISSED, NETWORK_POLICY};
use crate::kinds::{Missed, Mode, PortClosing};

/// In Enforce a pod is refused rather than missed, so that there is little left to evict; who writes it may expect a rollout.
pub(super) fn evict_in_enforce(policy: &EffectivePolicy) -> Complaints {
    let evicts = policy.mode == Mode::Enforce && policy.missed == Some(Missed::Evict);
    let message = "is Evict in mode Enforce, where the guard refuses a pod rather than let it be missed: it reaches only pods that were missed while the mode was Audit, the namespace was not labelled or Bulkhead was not installed, and none that is older than the policy, which a rollout has to replace";
    evicts
        .then(|| complain(MISSED, message))
        .into_iter()
        .collect()
}

/// In Enforce somebody has to keep clients from the application's own port.
pub(super) fn port_left_open(policy: &EffectivePolicy) -> Complaints {
    let is_left = policy.mode == Mode::Enforce && policy.network_policy == Some(PortClosing::None);
    let open: Vec<String> = policy
        .web_sockets
        .iter()
        .filter(|socket| is_left && socket.takes_over.is_some())
        .map(|socket| socket.upstream_port.to_string())
        .collect();
    if open.is_empty() {
        return Vec::new();
    }
    let message = format!(
        "is None, so nothing of Bulkhead's keeps clients from the application's own port ({}), past the sidecar: have the application listen on 127.0.0.1 alone, or close that port by a NetworkPolicy of your own",
        open.join(", ")
    );
    vec![complain(NETWORK_POLICY, message)]
}
