//! What judging a policy needs to know of a pod. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_crds::names::objects::{CONTAINER, INJECT, INJECTED, REVISION};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt as _;

use crate::findings::application::{self, HostPort};

/// Annotation by which a kubelet marks the mirror of a pod that it has from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Label by which a Deployment tells the pods of its revisions apart.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// One pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// When it was created, in seconds since the epoch.
    pub created: i64,
    /// The template that it was injected from.
    pub injected: Option<InjectedFrom>,
    /// The revision that it was last poked for.
    pub poked: Option<String>,
    /// Whether its annotation asks for no sidecar.
    pub opts_out: bool,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// Whether it is the mirror of a file on its node.
    pub is_mirror: bool,
    /// Whether a container has the sidecar's name.
    pub has_container: bool,
    /// Whether it has not ended: neither `Succeeded` nor `Failed`.
    pub is_living: bool,
    /// Whether its deletion has begun.
    pub is_deleting: bool,
    /// Its condition `Ready`.
    pub is_ready: bool,
    /// Whether the sidecar has started.
    pub sidecar_started: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What made it.
    pub workload: Option<Workload>,
    /// Secrets that containers other than the sidecar mount or read.
    pub secrets: BTreeSet<String>,
    /// `CONTAINER/VARIABLE` of each environment variable that sets a timeout of its own.
    pub timeouts: Vec<String>,
    /// Ports of the application that are open on the node.
    pub host_ports: Vec<HostPort>,
    /// Port names of the application, and their numbers.
    pub ports: BTreeMap<String, i32>,
}

/// The template that a pod was injected from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectedFrom {
    /// The policy.
    pub policy: String,
    /// The template's hash.
    pub hash: String,
}

/// What made a pod, as `kubectl` names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `Job` …
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Workload {
    /// Whether it makes another pod in the place of one that is evicted, whatever the pod was at: a Job would count it as a failure, and of
    /// other kinds nothing is known.
    #[must_use]
    pub fn replaces_pods(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController"
        )
    }

    /// Whether `kubectl rollout restart` knows it.
    #[must_use]
    pub fn can_be_restarted(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "Deployment" | "StatefulSet" | "DaemonSet"
        )
    }
}

impl std::fmt::Display for Workload {
    /// `deployment/web`, as an argument of `kubectl`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.to_lowercase(), self.name)
    }
}

impl InjectedFrom {
    /// Reads the annotation `POLICY@HASH`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (policy, hash) = text.rsplit_once('@')?;
        Some(Self {
            policy: policy.to_owned(),
            hash: hash.to_owned(),
        })
    }
}

impl PodFacts {
    /// The facts of a pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let annotations = pod.annotations();
        let phase = status.and_then(|status| status.phase.as_deref());
        Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            labels: pod.labels().clone(),
            created: pod.creation_timestamp().map_or(0, |at| at.0.as_second()),
            injected: annotations
                .get(INJECTED)
                .and_then(|text| InjectedFrom::read(text)),
            poked: annotations.get(REVISION).cloned(),
            opts_out: annotations.get(INJECT).map(String::as_str) == Some("false"),
            host_network: spec.is_some_and(application::is_on_host_network),
            is_mirror: annotations.contains_key(MIRROR),
            has_container: spec.is_some_and(application::has_sidecar),
            is_living: !matches!(phase, Some("Succeeded" | "Failed")),
            is_deleting: pod.metadata.deletion_timestamp.is_some(),
            is_ready: has_condition(pod, "Ready"),
            sidecar_started: sidecar_started(pod),
            addresses: addresses(pod),
            workload: workload(pod),
            secrets: of_each(spec, secrets).into_iter().collect(),
            timeouts: of_each(spec, timeouts),
            host_ports: of_each(spec, |_, container| application::host_ports(container)),
            ports: spec.map(application::named_ports).unwrap_or_default(),
        }
    }

    /// Whether it runs the sidecar of this policy.
    #[must_use]
    pub fn is_injected_by(&self, policy: &str) -> bool {
        self.has_container
            && self
                .injected
                .as_ref()
                .is_some_and(|injected| injected.policy == policy)
    }

    /// Whether it counts: it has not ended, and is not about to.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.is_living && !self.is_deleting
    }
}

fn has_condition(pod: &Pod, wanted: &str) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == wanted && condition.status == "True")
}

fn sidecar_started(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.init_container_statuses.as_ref());
    statuses
        .into_iter()
        .flatten()
        .any(|status| status.name == CONTAINER && status.started == Some(true))
}

fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = pod.status.as_ref() else {
        return Vec::new();
    };
    let mut found: Vec<IpAddr> = status
        .pod_ips
        .iter()
        .flatten()
        .filter_map(|address| address.ip.parse().ok())
        .collect();
    if let Some(address) = status.pod_ip.as_ref().and_then(|ip| ip.parse().ok())
        && !found.contains(&address)
    {
        found.insert(0, address);
    }
    found
}

/// A ReplicaSet's name is its Deployment's with the hash of the revision; the pods bear that hash in a label.
fn workload(pod: &Pod) -> Option<Workload> {
    let owner = pod
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))?;
    if owner.kind == "ReplicaSet"
        && let Some(hash) = pod.labels().get(TEMPLATE_HASH)
        && let Some(name) = owner.name.strip_suffix(&format!("-{hash}"))
    {
        return Some(Workload {
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
        });
    }
    Some(Workload {
        kind: owner.kind.clone(),
        name: owner.name.clone(),
    })
}

/// What each container of the application has.
fn of_each<'a, T, I: IntoIterator<Item = T>>(
    spec: Option<&'a PodSpec>,
    has: impl Fn(&'a PodSpec, &'a Container) -> I,
) -> Vec<T> {
    let Some(spec) = spec else {
        return Vec::new();
    };
    application::containers(spec)
        .flat_map(|(_, container)| has(spec, container))
        .collect()
}

fn secrets<'a>(spec: &'a PodSpec, container: &'a Container) -> impl Iterator<Item = String> {
    let used = application::secrets(container, spec.volumes.as_ref());
    used.into_iter().map(|it| it.secret.to_owned())
}

fn timeouts<'a>(_: &'a PodSpec, container: &'a Container) -> impl Iterator<Item = String> {
    let told = |it: application::OwnTimeout<'_>| format!("{}/{}", container.name, it.variable);
    application::timeouts(container).map(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pod: serde_json::Value) -> PodFacts {
        PodFacts::of(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_deployment_is_found_behind_its_replica_set() {
        let owned = |kind: &str, name: &str| {
            facts(serde_json::json!({
                "metadata": {"name": "web-5d4f-x", "labels": {"pod-template-hash": "5d4f"},
                    "ownerReferences": [{"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true}]},
                "spec": {"containers": []}
            }))
            .workload
            .unwrap()
        };
        assert_eq!(
            owned("ReplicaSet", "web-5d4f").to_string(),
            "deployment/web"
        );
        assert_eq!(owned("ReplicaSet", "bare").to_string(), "replicaset/bare");
        assert!(!owned("Job", "import").can_be_restarted());
    }

    #[test]
    fn what_the_annotations_and_the_status_say_is_read() {
        let found = facts(serde_json::json!({
            "metadata": {"name": "p", "annotations": {
                "bulkhead.dev/injected": "chat@0123", "bulkhead.dev/inject": "false", "bulkhead.dev/revision": "abc.2"}},
            "spec": {"hostNetwork": true, "initContainers": [{"name": "bulkhead"}],
                "containers": [{"name": "app", "env": [{"name": "PGCONNECT_TIMEOUT", "value": "3"}],
                    "envFrom": [{"secretRef": {"name": "theirs"}}],
                    "ports": [{"name": "http", "containerPort": 8000, "hostPort": 80}, {"containerPort": 9}]}]},
            "status": {"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "initContainerStatuses": [{"name": "bulkhead", "started": true, "image": "", "imageID": "", "ready": true, "restartCount": 0}]}
        }));
        assert!(found.is_injected_by("chat") && !found.is_injected_by("other"));
        assert!(found.opts_out && found.host_network && found.is_ready && found.sidecar_started);
        assert_eq!(found.addresses.len(), 2);
        assert_eq!(found.timeouts, ["app/PGCONNECT_TIMEOUT"]);
        assert_eq!(found.secrets, BTreeSet::from(["theirs".to_owned()]));
        assert_eq!(found.host_ports.len(), 1);
        assert_eq!(found.host_ports[0].host, 80);
        assert_eq!(found.ports["http"], 8000);
    }

    #[test]
    fn a_pod_that_has_ended_does_not_count() {
        for (phase, counts) in [
            ("Running", true),
            ("Pending", true),
            ("Succeeded", false),
            ("Failed", false),
        ] {
            let found = facts(serde_json::json!({
                "metadata": {"name": "p"}, "spec": {"containers": []}, "status": {"phase": phase}}));
            assert_eq!(found.counts(), counts, "{phase}");
        }
    }
}
