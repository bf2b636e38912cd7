//! What changes in the application's containers: names of ports, what used them, variables and mounts.

use bulkhead_crds::kinds::InjectionTemplateSpec;
use bulkhead_crds::kinds::template::TakenPort;
use serde_json::{Value, json};

use super::elements;

/// Where a container names one of its ports: a holder, a handler in it, and in that `port`. `grpc` takes numbers alone.
const PROBES: [&str; 3] = ["/readinessProbe", "/livenessProbe", "/startupProbe"];
const HOOKS: [&str; 2] = ["/lifecycle/postStart", "/lifecycle/preStop"];
const HANDLERS: [&str; 2] = ["httpGet", "tcpSocket"];

/// Changes every container, init containers and other native sidecars among them. Ours is not in the pod at this point.
pub(super) fn change(pod: &mut Value, spec: &InjectionTemplateSpec) {
    for list in ["containers", "initContainers"] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            hand_over(container, spec.take_ports.as_deref().unwrap_or_default());
            add_env(container, spec);
            add_mounts(container, spec);
        }
    }
}

/// Renames the ports whose names the sidecar takes, and gives probes and hooks the number that the name stood for. The entry stays, for a
/// hostPort hangs on it.
fn hand_over(container: &mut Value, taken: &[TakenPort]) {
    for port in taken {
        let entries = elements(&container["ports"]);
        let entry = entries
            .iter()
            .position(|it| it["name"] == port.name.as_str());
        let Some(at) = entry else { continue };
        let number = entries[at]["containerPort"].clone();
        container["ports"][at]["name"] = port.renamed.clone().into();
        for holder in PROBES.iter().chain(&HOOKS) {
            for handler in HANDLERS {
                let used = container.pointer_mut(&format!("{holder}/{handler}/port"));
                if let Some(used) = used.filter(|used| **used == port.name.as_str()) {
                    *used = number.clone();
                }
            }
        }
    }
}

/// A variable that the container sets itself is somebody's decision.
fn add_env(container: &mut Value, spec: &InjectionTemplateSpec) {
    let present = elements(&container["env"]);
    let is_missing = |name: &str| !present.iter().any(|it| it["name"] == name);
    let missing: Vec<_> = spec
        .env
        .iter()
        .flatten()
        .filter(|it| is_missing(&it.name))
        .map(|it| json!(it))
        .collect();
    append(container, "env", missing);
}

/// No container can have two mounts at one path.
fn add_mounts(container: &mut Value, spec: &InjectionTemplateSpec) {
    let present = elements(&container["volumeMounts"]);
    let is_free = |path: &str| !present.iter().any(|it| it["mountPath"] == path);
    let missing: Vec<_> = spec
        .mounts
        .iter()
        .flatten()
        .filter(|it| is_free(&it.mount_path))
        .map(|it| json!(it))
        .collect();
    append(container, "volumeMounts", missing);
}

fn append(container: &mut Value, field: &str, new: Vec<Value>) {
    if new.is_empty() {
        return;
    }
    let mut list = elements(&container[field]).to_vec();
    list.extend(new);
    container[field] = list.into();
}
