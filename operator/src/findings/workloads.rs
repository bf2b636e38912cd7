//! Pods and pod templates: what in them goes round a policy that selects them.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::conditions::DegradedReason;
use bulkhead_crds::names::objects::CONTAINER;
use bulkhead_crds::validate::application_env;
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::{Exposed, TakenOver, renamed};

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
    for (path, container) in containers(workload.spec) {
        let path = format!("{}.{path}", workload.path);
        found.extend(host_ports(taken, workload, &path, container));
        found.extend(credentials(policy, workload, &path, container));
        found.extend(timeouts(workload, &path, container));
    }
    found
}

/// The named ports of the application's containers, by name.
#[must_use]
pub fn named_ports(spec: &PodSpec) -> BTreeMap<String, i32> {
    containers(spec)
        .flat_map(|(_, container)| container.ports.iter().flatten())
        .filter_map(|port| Some((port.name.clone()?, port.container_port)))
        .collect()
}

/// The containers that are not the sidecar, with the path of each.
fn containers(spec: &PodSpec) -> impl Iterator<Item = (String, &Container)> {
    let init = spec.init_containers.iter().flatten();
    let with = |field: &'static str| {
        move |container: &'_ Container| format!("{field}[{}]", container.name)
    };
    let (of_init, of_main) = (with("initContainers"), with("containers"));
    init.map(move |container| (of_init(container), container))
        .chain(
            spec.containers
                .iter()
                .map(move |container| (of_main(container), container)),
        )
        .filter(|(_, container)| container.name != CONTAINER)
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
    (workload.spec.host_network == Some(true)).then(|| {
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
    let mut found = Vec::new();
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let Some(number) = port.host_port.filter(|number| *number != 0) else {
            continue;
        };
        let name = port.name.as_deref().unwrap_or_default();
        let is_taken = |taken: &TakenOver| {
            taken.name == name
                || renamed(&taken.name) == name
                || taken.application.contains(&port.container_port)
        };
        if taken.iter().any(is_taken) {
            found.push(exposed(
                DegradedReason::HostPort,
                workload,
                format!("{path}.ports[{index}].hostPort"),
                format!(
                    "opens the application's port {} on the node as {number}, past the sidecar: remove hostPort, and reach the \
                     application by its Service",
                    port.container_port
                ),
            ));
        }
    }
    found
}

fn credentials(
    policy: &EffectivePolicy,
    workload: Workload<'_>,
    path: &str,
    container: &Container,
) -> Vec<Exposed> {
    let upstreams = policy.databases.iter().map(|database| &database.upstream);
    let guarded: BTreeSet<&str> = upstreams
        .filter_map(|upstream| Some(upstream.credentials_secret_ref.as_ref()?.name.as_str()))
        .collect();
    let told = |(at, secret): (String, &str)| {
        exposed(
            DegradedReason::CredentialsShared,
            workload,
            format!("{path}.{at}"),
            format!(
                "gives the container the Secret `{secret}`, with which it can reach the database without the sidecar: remove it; the \
                 application needs no password of its own"
            ),
        )
    };
    read_secrets(
        container,
        workload.spec.volumes.as_deref().unwrap_or_default(),
    )
    .into_iter()
    .filter(|(_, secret)| guarded.contains(secret))
    .map(told)
    .collect()
}

/// The Secrets that a container gets at, with the field by which it does.
fn read_secrets<'a>(container: &'a Container, volumes: &'a [Volume]) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    for variable in container.env.iter().flatten() {
        let from = variable.value_from.as_ref();
        if let Some(secret) = from.and_then(|from| from.secret_key_ref.as_ref()) {
            found.push((format!("env[{}]", variable.name), secret.name.as_str()));
        }
    }
    for (index, from) in container.env_from.iter().flatten().enumerate() {
        if let Some(secret) = &from.secret_ref {
            found.push((format!("envFrom[{index}]"), secret.name.as_str()));
        }
    }
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let mounted = volumes.iter().filter(|volume| volume.name == mount.name);
        let secrets = mounted.flat_map(secrets_of);
        found.extend(secrets.map(|secret| (format!("volumeMounts[{index}]"), secret)));
    }
    found
}

fn secrets_of(volume: &Volume) -> Vec<&str> {
    let whole = volume
        .secret
        .iter()
        .filter_map(|secret| secret.secret_name.as_deref());
    let sources = volume
        .projected
        .iter()
        .flat_map(|it| it.sources.iter().flatten());
    let parts = sources.filter_map(|source| Some(source.secret.as_ref()?.name.as_str()));
    whole.chain(parts).collect()
}

fn timeouts(workload: Workload<'_>, path: &str, container: &Container) -> Vec<Exposed> {
    let variables: Vec<(&str, &str)> = container
        .env
        .iter()
        .flatten()
        .map(|it| (it.name.as_str(), it.value.as_deref().unwrap_or_default()))
        .collect();
    application_env(&variables)
        .into_iter()
        .map(|finding| {
            exposed(
                DegradedReason::ApplicationTimeouts,
                workload,
                format!("{path}.{}", finding.path),
                finding.message,
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

    #[test]
    fn ports_are_read_from_every_container_but_the_sidecar() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "initContainers": [{"name": "bulkhead", "ports": [{"name": "bh-admin", "containerPort": 9432}]}],
            "containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8000}, {"containerPort": 1}]}]}))
        .unwrap();
        assert_eq!(
            named_ports(&spec),
            BTreeMap::from([("http".to_owned(), 8000)])
        );
    }
}
