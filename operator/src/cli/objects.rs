//! The objects that have pods: where each kind keeps the template of its pods, and how kubectl names the kind.

use std::collections::BTreeMap;

use serde_json::Value;

/// A kind of object whose pods a policy may select.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty is the core group.
    pub group: &'static str,
    /// The kind's name.
    pub kind: &'static str,
    /// Its name in a URL.
    pub plural: &'static str,
    /// What kubectl takes beside the kind and the plural.
    pub short: &'static str,
    /// Where the pod's spec stands.
    pub spec: &'static str,
}

/// All of them.
pub const KINDS: &[Kind] = &[
    Kind {
        group: "",
        kind: "Pod",
        plural: "pods",
        short: "po",
        spec: "spec",
    },
    Kind {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        short: "deploy",
        spec: "spec.template.spec",
    },
    Kind {
        group: "apps",
        kind: "StatefulSet",
        plural: "statefulsets",
        short: "sts",
        spec: "spec.template.spec",
    },
    Kind {
        group: "apps",
        kind: "DaemonSet",
        plural: "daemonsets",
        short: "ds",
        spec: "spec.template.spec",
    },
    Kind {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        short: "rs",
        spec: "spec.template.spec",
    },
    Kind {
        group: "",
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        short: "rc",
        spec: "spec.template.spec",
    },
    Kind {
        group: "",
        kind: "PodTemplate",
        plural: "podtemplates",
        short: "podtemplate",
        spec: "template.spec",
    },
    Kind {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        short: "job",
        spec: "spec.template.spec",
    },
    Kind {
        group: "batch",
        kind: "CronJob",
        plural: "cronjobs",
        short: "cj",
        spec: "spec.jobTemplate.spec.template.spec",
    },
];

/// What an object says of its pods.
pub struct PodTemplate<'a> {
    /// Where the pod's spec stands in the object.
    pub path: &'static str,
    /// The pods' labels.
    pub labels: BTreeMap<String, String>,
    /// Their annotations.
    pub annotations: BTreeMap<String, String>,
    /// Their spec.
    pub spec: &'a Value,
}

impl Kind {
    /// The kind that kubectl would take `name` for.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_lowercase();
        KINDS.iter().find(|it| {
            name == it.kind.to_ascii_lowercase() || name == it.plural || name == it.short
        })
    }

    /// The kind of an object.
    #[must_use]
    pub fn of(object: &Value) -> Option<&'static Self> {
        let version = object["apiVersion"].as_str()?;
        let group = version.split_once('/').map_or("", |(group, _)| group);
        KINDS
            .iter()
            .find(|it| object["kind"] == it.kind && group == it.group)
    }
}

/// The pods of an object; none where it has none.
#[must_use]
pub fn pod_template(object: &Value) -> Option<PodTemplate<'_>> {
    let kind = Kind::of(object)?;
    let pointer = format!("/{}", kind.spec.replace('.', "/"));
    let spec = object.pointer(&pointer)?;
    let above = pointer.strip_suffix("/spec").unwrap_or_default();
    let texts = |field: &str| {
        let map = object
            .pointer(&format!("{above}/metadata/{field}"))
            .and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    Some(PodTemplate {
        path: kind.spec,
        labels: texts("labels"),
        annotations: texts("annotations"),
        spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_the_names_that_kubectl_takes() {
        for (name, expected) in [
            ("pod", "Pod"),
            ("po", "Pod"),
            ("Deployments", "Deployment"),
            ("deploy", "Deployment"),
            ("cj", "CronJob"),
        ] {
            assert_eq!(Kind::named(name).map(|it| it.kind), Some(expected));
        }
        assert_eq!(Kind::named("service"), None);
    }

    #[test]
    fn the_template_is_found_where_its_kind_keeps_it() {
        let template = serde_json::json!({"metadata": {"labels": {"app": "chat"}}, "spec": {"containers": []}});
        let objects = [
            serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]}),
            serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": template}}),
            serde_json::json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}),
        ];
        for object in objects {
            let found = pod_template(&object).unwrap();
            assert_eq!(found.labels["app"], "chat", "{object}");
            assert!(found.spec.get("containers").is_some());
        }
        assert!(
            pod_template(&serde_json::json!({"apiVersion": "v1", "kind": "Service", "spec": {}}))
                .is_none()
        );
    }
}
