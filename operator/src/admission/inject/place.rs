//! The sidecar's place among the init containers, and the arguments that hang on the pod.

use bulkhead_crds::kinds::InjectionTemplateSpec;
use serde_json::{Value, json};

use super::{elements, is_sidecar};

/// Init containers of a service mesh: what the sidecar dials passes through them.
pub const MESH: [&str; 6] = [
    "istio-init",
    "istio-validation",
    "istio-proxy",
    "linkerd-init",
    "linkerd-network-validator",
    "linkerd-proxy",
];

/// What a pod has in which to end, in seconds, where it says nothing (`PodSpec.terminationGracePeriodSeconds`).
const GRACE: i64 = 30;
/// What the sidecar leaves of that to the kubelet, in seconds.
const RESERVE: i64 = 5;

/// Takes a sidecar of ours, of an older template, out of the pod.
pub(super) fn take_out(pod: &mut Value) -> Option<Value> {
    let list = pod["spec"]["initContainers"].as_array_mut()?;
    let at = list.iter().position(is_sidecar)?;
    let found = list[at].take();
    list.retain(|container| !container.is_null() && !is_sidecar(container));
    Some(found)
}

/// Puts the sidecar into the pod: before every container that may need it, and behind the mesh that it needs itself.
pub(super) fn put_in(pod: &mut Value, spec: &InjectionTemplateSpec, resolves: Vec<String>) {
    let mut sidecar = json!(spec.sidecar);
    let mut args = spec.sidecar.args.clone();
    args.extend(resolves);
    args.push(grace(pod));
    sidecar["args"] = args.into();
    let mut list = elements(&pod["spec"]["initContainers"]).to_vec();
    list.insert(index(&list), sidecar);
    pod["spec"]["initContainers"] = list.into();
}

/// Behind the last container of a mesh, else the first place. Nobody else's container changes its own.
fn index(list: &[Value]) -> usize {
    let is_mesh = |container: &Value| MESH.iter().any(|name| container["name"] == *name);
    list.iter().rposition(is_mesh).map_or(0, |at| at + 1)
}

/// How long the sidecar may take to end: a little less than its pod may.
fn grace(pod: &Value) -> String {
    let seconds = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
    let seconds = seconds.unwrap_or(GRACE).saturating_sub(RESERVE).max(1);
    format!("--grace={seconds}s")
}
