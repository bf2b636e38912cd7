//! What the chart takes, and what it refuses.

use serde_json::Value;

use crate::render::{chart, template};

fn refused(more: &[&str]) -> String {
    let output = template(more);
    assert!(!output.status.success(), "{more:?} is taken");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_slip_of_the_pen_is_refused_with_its_place() {
    for (set, told) in [
        ("replica=3", "replica"),
        ("sidecar.image.tags=1", "tags"),
        ("injection.engine=cel", "/injection/engine"),
        ("certificates.source=vault", "/certificates/source"),
        ("replicas=many", "/replicas"),
        ("defaultEnvironment=two words", "/defaultEnvironment"),
        ("watchNamespaces={Not_A_Name}", "/watchNamespaces/0"),
        (
            "monitoring.prometheusRule.disabled={NoSuchAlert}",
            "/monitoring/prometheusRule/disabled/0",
        ),
        ("certificates.lifetime=soon", "/certificates/lifetime"),
    ] {
        let complaint = refused(&["--set", set]);
        assert!(complaint.contains(told), "{set}: {complaint}");
    }
}

#[test]
fn a_server_without_stable_native_sidecars_is_refused() {
    for version in ["1.28.0", "1.32.9"] {
        assert!(
            refused(&["--kube-version", version]).contains("kubeVersion"),
            "{version}"
        );
    }
    // What managed clusters call themselves.
    for version in [
        "1.33.0",
        "1.33.4-gke.1000",
        "1.36.3+k3s1",
        "1.34.1-eks-1-34",
    ] {
        assert!(
            template(&["--kube-version", version]).status.success(),
            "{version}"
        );
    }
}

#[test]
fn every_value_is_described_and_every_description_has_a_value() {
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(chart("values.schema.json")).unwrap())
            .unwrap();
    let values: Value =
        serde_yaml::from_str(&std::fs::read_to_string(chart("values.yaml")).unwrap()).unwrap();
    same_fields("", &schema, &values);
}

fn same_fields(path: &str, schema: &Value, value: &Value) {
    assert!(
        path.is_empty()
            || schema["description"]
                .as_str()
                .is_some_and(|it| it.ends_with('.')),
        "{path} is not described"
    );
    let Some(described) = schema["properties"].as_object() else {
        return;
    };
    assert_eq!(
        schema["additionalProperties"], false,
        "{path} takes anything"
    );
    let Some(values) = value.as_object().filter(|values| !values.is_empty()) else {
        return;
    };
    for (name, value) in values {
        let path = format!("{path}.{name}");
        same_fields(
            &path,
            described
                .get(name)
                .unwrap_or_else(|| panic!("{path} has no description")),
            value,
        );
    }
    for name in described.keys().filter(|name| *name != "global") {
        assert!(
            values.contains_key(name),
            "{path}.{name} is described and has no default"
        );
    }
}
