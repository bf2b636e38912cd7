//! What the application's containers in a pod's spec have: ports, Secrets, timeouts of their own. The sidecar is none of them.
//!
//! Read of a workload in a file and of a pod in a cluster alike. What does not live here: what comes of it.

use std::collections::BTreeMap;

use bulkhead_crds::names::objects::CONTAINER;
use bulkhead_crds::validate::application_env;
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::TakenOver;

/// A port of the application that is open on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Where among the container's ports it stands.
    pub index: usize,
    /// The port's name; empty where it has none.
    pub name: String,
    /// The application's port.
    pub container: i32,
    /// The node's.
    pub host: i32,
}

impl HostPort {
    /// Whether it leads past the sidecar to what that has taken over.
    #[must_use]
    pub fn is(&self, taken: &TakenOver) -> bool {
        taken.name == self.name
            || taken.renamed == self.name
            || taken.application.contains(&self.container)
    }
}

/// A Secret that a container gets at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse<'a> {
    /// The container's field by which it does (`env[PGPASSWORD]`).
    pub path: String,
    /// The Secret's name.
    pub secret: &'a str,
}

/// An environment variable that sets a timeout of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnTimeout<'a> {
    /// The variable's name.
    pub variable: &'a str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Whether a pod uses its node's network.
#[must_use]
pub fn is_on_host_network(spec: &PodSpec) -> bool {
    spec.host_network == Some(true)
}

/// Whether a container has the sidecar's name.
#[must_use]
pub fn has_sidecar(spec: &PodSpec) -> bool {
    all(spec).any(|(_, container)| container.name == CONTAINER)
}

/// The containers that are not the sidecar, with the path of each (`initContainers[migrate]`).
pub fn containers(spec: &PodSpec) -> impl Iterator<Item = (String, &Container)> {
    all(spec)
        .filter(|(_, container)| container.name != CONTAINER)
        .map(|(field, container)| (format!("{field}[{}]", container.name), container))
}

fn all(spec: &PodSpec) -> impl Iterator<Item = (&'static str, &Container)> {
    let init = spec.init_containers.iter().flatten();
    let main = spec.containers.iter();
    init.map(|container| ("initContainers", container))
        .chain(main.map(|container| ("containers", container)))
}

/// The named ports of the application, by name.
#[must_use]
pub fn named_ports(spec: &PodSpec) -> BTreeMap<String, i32> {
    containers(spec)
        .flat_map(|(_, container)| container.ports.iter().flatten())
        .filter_map(|port| Some((port.name.clone()?, port.container_port)))
        .collect()
}

/// The ports of a container that are open on the node.
pub fn host_ports(container: &Container) -> impl Iterator<Item = HostPort> {
    let ports = container.ports.iter().flatten().enumerate();
    ports.filter_map(|(index, port)| {
        Some(HostPort {
            index,
            name: port.name.clone().unwrap_or_default(),
            container: port.container_port,
            host: port.host_port.filter(|number| *number != 0)?,
        })
    })
}

/// The Secrets that a container gets at: by variables, and by those of the pod's volumes that it mounts.
#[must_use]
pub fn secrets<'a>(
    container: &'a Container,
    volumes: Option<&'a Vec<Volume>>,
) -> Vec<SecretUse<'a>> {
    let mut found = Vec::new();
    for variable in container.env.iter().flatten() {
        let from = variable.value_from.as_ref();
        if let Some(secret) = from.and_then(|from| from.secret_key_ref.as_ref()) {
            let path = format!("env[{}]", variable.name);
            found.push(SecretUse {
                path,
                secret: &secret.name,
            });
        }
    }
    for (index, from) in container.env_from.iter().flatten().enumerate() {
        if let Some(secret) = &from.secret_ref {
            let path = format!("envFrom[{index}]");
            found.push(SecretUse {
                path,
                secret: &secret.name,
            });
        }
    }
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let mounted = volumes.into_iter().flatten();
        let mounted = mounted.filter(|volume| volume.name == mount.name);
        found.extend(mounted.flat_map(secrets_of).map(|secret| SecretUse {
            path: format!("volumeMounts[{index}]"),
            secret,
        }));
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

/// The variables of a container that set a timeout of their own.
pub fn timeouts(container: &Container) -> impl Iterator<Item = OwnTimeout<'_>> {
    container.env.iter().flatten().filter_map(|variable| {
        let value = variable.value.as_deref().unwrap_or_default();
        let finding = application_env(&[(&variable.name, value)]).pop()?;
        Some(OwnTimeout {
            variable: &variable.name,
            message: finding.message,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::taken;
    use super::*;

    fn spec(spec: serde_json::Value) -> PodSpec {
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn ports_are_read_from_every_container_but_the_sidecar() {
        let spec = spec(serde_json::json!({
            "initContainers": [{"name": "bulkhead", "ports": [{"name": "bh-admin", "containerPort": 9432}]}],
            "containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8000}, {"containerPort": 1}]}]}));
        assert_eq!(
            named_ports(&spec),
            BTreeMap::from([("http".to_owned(), 8000)])
        );
        assert!(has_sidecar(&spec));
    }

    #[test]
    fn a_secret_counts_where_the_application_gets_at_it() {
        let spec = spec(serde_json::json!({
            "initContainers": [{"name": "bulkhead", "volumeMounts": [{"name": "ours", "mountPath": "/s"}]}],
            "containers": [{"name": "app",
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "by-variable", "key": "k"}}}],
                "envFrom": [{"secretRef": {"name": "by-all-variables"}}],
                "volumeMounts": [{"name": "theirs", "mountPath": "/s"}, {"name": "mixed", "mountPath": "/m"}]}],
            "volumes": [
                {"name": "ours", "secret": {"secretName": "of-the-sidecar"}},
                {"name": "theirs", "secret": {"secretName": "by-volume"}},
                {"name": "unmounted", "secret": {"secretName": "nobodys"}},
                {"name": "mixed", "projected": {"sources": [{"secret": {"name": "by-projection"}}]}}]
        }));
        let found: Vec<_> = containers(&spec)
            .flat_map(|(_, container)| secrets(container, spec.volumes.as_ref()))
            .map(|used| (used.path, used.secret))
            .collect();
        let expected = [
            ("env[A]", "by-variable"),
            ("envFrom[0]", "by-all-variables"),
            ("volumeMounts[0]", "by-volume"),
            ("volumeMounts[1]", "by-projection"),
        ];
        assert_eq!(
            found,
            expected.map(|(path, secret)| (path.to_owned(), secret))
        );
    }

    #[test]
    fn a_port_on_the_node_leads_past_the_sidecar_by_its_name_or_by_its_number() {
        for (name, container, is_taken) in [
            ("http", 8000, true),
            ("bh-app-http", 8000, true),
            ("", 8000, true),
            ("other", 8000, true),
            ("metrics", 9000, false),
            ("", 9000, false),
        ] {
            let port = HostPort {
                index: 0,
                name: name.to_owned(),
                container,
                host: 80,
            };
            assert_eq!(
                taken().iter().any(|taken| port.is(taken)),
                is_taken,
                "{name} {container}"
            );
        }
    }
}
