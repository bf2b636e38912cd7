//! Pods and pod templates: what in them goes round a policy that selects them.

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::conditions::DegradedReason;
use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::{Exposed, TakenOver, application};
use crate::build::Serves;

/// What a way round is found in.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Where in it the pod's spec stands (`spec` of a pod, `spec.template.spec` of a Deployment).
    pub path: &'a str,
    /// The pod's spec.
    pub spec: &'a PodSpec,
}

/// The ways round a policy that a pod's spec opens: its node's network, a port open on the node, the upstream's credentials in the
/// application's hands, timeouts of its own.
#[must_use]
pub fn around(
    policy: &EffectivePolicy,
    taken: &[TakenOver],
    workload: Workload<'_>,
) -> Vec<Exposed> {
    let mut found: Vec<Exposed> = host_network(workload).into_iter().collect();
    for (path, container) in application::containers(workload.spec) {
        let path = format!("{}.{path}", workload.path);
        found.extend(host_ports(taken, workload, &path, container));
        found.extend(credentials(policy, workload, &path, container));
        found.extend(timeouts(workload, &path, container));
    }
    found
}

fn exposed(
    reason: DegradedReason,
    workload: Workload<'_>,
    path: String,
    message: String,
) -> Exposed {
    Exposed {
        reason,
        kind: workload.kind.to_owned(),
        name: workload.name.to_owned(),
        path,
        message,
    }
}

fn host_network(workload: Workload<'_>) -> Option<Exposed> {
    application::is_on_host_network(workload.spec).then(|| {
        exposed(
            DegradedReason::HostNetwork,
            workload,
            format!("{}.hostNetwork", workload.path),
            "uses its node's network, where the sidecar cannot stand in front of it: leave hostNetwork out, or take the pod out of the \
             policy's selector"
                .to_owned(),
        )
    })
}

fn host_ports(
    taken: &[TakenOver],
    workload: Workload<'_>,
    path: &str,
    container: &Container,
) -> Vec<Exposed> {
    application::host_ports(container)
        .filter(|port| taken.iter().any(|taken| port.is(taken)))
        .map(|port| {
            exposed(
                DegradedReason::HostPort,
                workload,
                format!("{path}.ports[{}].hostPort", port.index),
                format!(
                    "opens the application's port {} on the node as {}, past the sidecar: remove hostPort, and reach the \
                     application by its Service",
                    port.container, port.host
                ),
            )
        })
        .collect()
}

fn credentials(
    policy: &EffectivePolicy,
    workload: Workload<'_>,
    path: &str,
    container: &Container,
) -> Vec<Exposed> {
    let guarded = super::credentials(policy, Serves::THIS_RELEASE);
    let signing = super::signing_keys(policy, Serves::THIS_RELEASE);
    application::secrets(container, workload.spec.volumes.as_ref())
        .into_iter()
        .filter_map(|used| {
            let danger = if guarded.contains(used.secret) {
                "with which it can reach the database without the sidecar: remove it; the application needs no password of its own"
            } else if signing.contains(used.secret) {
                "with which it can sign claims to be any user: remove it; only the sidecar signs"
            } else {
                return None;
            };
            let path = format!("{path}.{}", used.path);
            let message = format!("gives the container the Secret `{}`, {danger}", used.secret);
            Some(exposed(DegradedReason::CredentialsShared, workload, path, message))
        })
        .collect()
}

fn timeouts(workload: Workload<'_>, path: &str, container: &Container) -> Vec<Exposed> {
    application::timeouts(container)
        .map(|timeout| {
            exposed(
                DegradedReason::ApplicationTimeouts,
                workload,
                format!("{path}.env[{}]", timeout.variable),
                timeout.message,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{chat, taken};
    use super::*;

    fn found(spec: serde_json::Value) -> Vec<(DegradedReason, String)> {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let workload = Workload {
            kind: "Deployment",
            name: "chat",
            path: "spec.template.spec",
            spec: &spec,
        };
        let mut found = around(&chat(), &taken(), workload);
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.into_iter().map(|it| (it.reason, it.path)).collect()
    }

    #[test]
    fn each_way_round_is_told_with_its_field() {
        let at = |rest: &str| format!("spec.template.spec.{rest}");
        let table = [
            (
                "nothing",
                serde_json::json!({"containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8000}]}]}),
                None,
            ),
            (
                "the node's network",
                serde_json::json!({"hostNetwork": true, "containers": []}),
                Some((DegradedReason::HostNetwork, at("hostNetwork"))),
            ),
            (
                "a port on the node",
                serde_json::json!({"containers": [{"name": "app",
                "ports": [{"containerPort": 1}, {"name": "http", "containerPort": 8000, "hostPort": 80}]}]}),
                Some((
                    DegradedReason::HostPort,
                    at("containers[app].ports[1].hostPort"),
                )),
            ),
            (
                "the same, injected",
                serde_json::json!({"containers": [{"name": "app",
                "ports": [{"name": "bh-app-http", "containerPort": 8001, "hostPort": 80}]}]}),
                Some((
                    DegradedReason::HostPort,
                    at("containers[app].ports[0].hostPort"),
                )),
            ),
            (
                "another port on the node",
                serde_json::json!({"containers": [{"name": "app",
                "ports": [{"name": "metrics", "containerPort": 9000, "hostPort": 9000}]}]}),
                None,
            ),
            (
                "the credentials in a variable",
                serde_json::json!({"containers": [{"name": "app",
                "env": [{"name": "DB", "valueFrom": {"secretKeyRef": {"name": "chat-db", "key": "password"}}}]}]}),
                Some((
                    DegradedReason::CredentialsShared,
                    at("containers[app].env[DB]"),
                )),
            ),
            (
                "the credentials in all variables",
                serde_json::json!({"containers": [{"name": "app",
                "envFrom": [{"secretRef": {"name": "chat-db"}}]}]}),
                Some((
                    DegradedReason::CredentialsShared,
                    at("containers[app].envFrom[0]"),
                )),
            ),
            (
                "the keys of signed users in a variable",
                serde_json::json!({"containers": [{"name": "app",
                "envFrom": [{"secretRef": {"name": "chat-signing"}}]}]}),
                Some((
                    DegradedReason::CredentialsShared,
                    at("containers[app].envFrom[0]"),
                )),
            ),
            (
                "the credentials in a volume",
                serde_json::json!({"initContainers": [{"name": "migrate",
                "volumeMounts": [{"name": "s", "mountPath": "/s"}]}], "containers": [],
                "volumes": [{"name": "s", "projected": {"sources": [{"secret": {"name": "chat-db"}}]}}]}),
                Some((
                    DegradedReason::CredentialsShared,
                    at("initContainers[migrate].volumeMounts[0]"),
                )),
            ),
            (
                "a volume that nobody mounts",
                serde_json::json!({"containers": [{"name": "app"}],
                "volumes": [{"name": "s", "secret": {"secretName": "chat-db"}}]}),
                None,
            ),
            (
                "another Secret",
                serde_json::json!({"containers": [{"name": "app", "envFrom": [{"secretRef": {"name": "other"}}]}]}),
                None,
            ),
            (
                "the sidecar's own",
                serde_json::json!({"initContainers": [{"name": "bulkhead",
                "envFrom": [{"secretRef": {"name": "chat-db"}}]}], "containers": []}),
                None,
            ),
            (
                "a timeout of its own",
                serde_json::json!({"containers": [{"name": "app",
                "env": [{"name": "A", "value": "b"}, {"name": "PGCONNECT_TIMEOUT", "value": "3"}]}]}),
                Some((
                    DegradedReason::ApplicationTimeouts,
                    at("containers[app].env[PGCONNECT_TIMEOUT]"),
                )),
            ),
        ];
        for (what, spec, expected) in table {
            assert_eq!(
                found(spec),
                expected.into_iter().collect::<Vec<_>>(),
                "{what}"
            );
        }
    }
}
