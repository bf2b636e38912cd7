//! What the application's containers are given, and what is theirs already.

use serde_json::{Value, json};

use super::super::templates::{container, push};
use super::{Row, changed};

/// A pod whose first container has these fields too.
fn having(fields: Value) -> Value {
    changed("chat", |pod| {
        let container = pod["spec"]["containers"][0].as_object_mut().unwrap();
        container.extend(fields.as_object().unwrap().clone());
        pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    })
}

/// The environment of the first container.
fn env(pod: &Value) -> Value {
    pod["spec"]["containers"][0]["env"].clone()
}

/// Where the first container mounts what.
fn mounts(pod: &Value) -> Vec<(&str, &str)> {
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array();
    mounts
        .unwrap()
        .iter()
        .map(|mount| {
            (
                mount["mountPath"].as_str().unwrap(),
                mount["name"].as_str().unwrap(),
            )
        })
        .filter(|(path, _)| !path.contains("serviceaccount"))
        .collect()
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = given();
    rows.extend([
        Row::injected(
            "volumes of its own, one by the name of the sidecar's",
            "chat",
            changed("chat", |pod| {
                pod["spec"]["volumes"] = json!([
                    {"name": "first", "emptyDir": {}},
                    {"name": "bulkhead-run", "hostPath": {"path": "/"}},
                    {"name": "second", "configMap": {"name": "x", "optional": true}},
                    {"name": "bulkhead-policy", "emptyDir": {}},
                ]);
            }),
            |pod| {
                let volumes = pod["spec"]["volumes"].to_string();
                assert!(!volumes.contains("hostPath"), "{volumes}");
                assert!(volumes.contains("first") && volumes.contains("second"));
                assert!(volumes.contains("bulkhead-chat"), "{volumes}");
            },
        ),
        Row::injected(
            "as large as pods become",
            "chat",
            changed("chat", |pod| {
                pod["spec"]["containers"] = (0..20).map(large).collect();
                pod["spec"]["hostAliases"] = (0..30)
                    .map(|i| json!({"ip": format!("10.0.0.{i}"), "hostnames": [format!("host-{i}"), "other"]}))
                    .collect();
                pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
            }),
            |pod| assert_eq!(pod["spec"]["containers"][19]["ports"][20]["name"], "bh-app-http"),
        ),
        Row::injected(
            "fields that are rare",
            "chat",
            changed("chat", |pod| {
                let app = &mut pod["spec"]["containers"][0];
                app["resizePolicy"] =
                    json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"}]);
                app["env"] = json!([
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                ]);
                app["envFrom"] = json!([{"configMapRef": {"name": "x"}, "prefix": "P_"}]);
                pod["spec"]["topologySpreadConstraints"] = json!([{
                    "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"app": "chat"}},
                }]);
                pod["spec"]["dnsConfig"] = json!({"options": [{"name": "ndots", "value": "2"}]});
                pod["spec"]["schedulingGates"] = json!([{"name": "a.test/gate"}]);
            }),
            |pod| {
                let spec = &pod["spec"];
                assert_eq!(spec["containers"][0]["resizePolicy"][0]["resourceName"], "cpu");
                assert_eq!(spec["dnsConfig"]["options"][0]["value"], "2");
                assert_eq!(spec["schedulingGates"][0]["name"], "a.test/gate");
                assert_eq!(env(pod)[1]["valueFrom"]["resourceFieldRef"]["divisor"], "1m");
            },
        ),
    ]);
    rows
}

fn given() -> Vec<Row> {
    vec![
        Row::injected(
            "an environment and mounts of its own",
            "chat",
            having(json!({
                "env": [{"name": "A", "value": "1"}],
                "volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "x"}],
            })),
            |pod| {
                assert_eq!(env(pod)[0], json!({"name": "A", "value": "1"}));
                assert_eq!(env(pod)[1]["name"], "PGSSLROOTCERT");
                assert_eq!(env(pod)[2]["name"], "PGHOST");
                assert_eq!(
                    mounts(pod),
                    [
                        ("/data", "data"),
                        ("/etc/bulkhead/ca", "bulkhead-ca"),
                        ("/run/postgresql", "bulkhead-socket-0")
                    ]
                );
            },
        ),
        Row::injected(
            "a variable and a mount that it would be given",
            "chat",
            having(json!({
                "env": [
                    {"name": "PGHOST", "value": "mine"},
                    {"name": "PGSSLROOTCERT", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}},
                ],
                "volumeMounts": [{"name": "data", "mountPath": "/run/postgresql"}],
            })),
            |pod| {
                assert_eq!(env(pod).as_array().unwrap().len(), 2);
                assert_eq!(env(pod)[0]["value"], "mine");
                assert_eq!(
                    mounts(pod),
                    [
                        ("/etc/bulkhead/ca", "bulkhead-ca"),
                        ("/run/postgresql", "data")
                    ]
                );
            },
        ),
        Row::injected(
            "lists that are empty",
            "chat",
            having(json!({"env": [], "volumeMounts": [], "ports": []})),
            |pod| assert_eq!(env(pod).as_array().unwrap().len(), 2),
        ),
        Row::injected(
            "several containers, each given the same",
            "chat",
            changed("chat", |pod| {
                push(&mut pod["spec"]["containers"], container("second"));
                pod["spec"]["initContainers"] = json!([container("migrate")]);
            }),
            |pod| {
                let spec = &pod["spec"];
                for container in [&spec["containers"][1], &spec["initContainers"][1]] {
                    assert_eq!(container["env"], env(pod), "{container:#}");
                    assert_eq!(container["ports"][1]["name"], "bh-app-http");
                }
                // The sidecar keeps its own.
                assert_eq!(
                    spec["initContainers"][0]["env"].as_array().unwrap().len(),
                    2
                );
            },
        ),
        Row::injected(
            "a policy that gives nothing",
            "bare",
            changed("bare", |_| {}),
            |pod| assert_eq!(env(pod), Value::Null),
        ),
    ]
}

/// A container with many of everything.
fn large(number: usize) -> Value {
    let mut container = container(&format!("app-{number}"));
    container["env"] = (0..50)
        .map(|i| json!({"name": format!("V{i}"), "value": "x".repeat(100)}))
        .collect();
    container["volumeMounts"] = (0..20)
        .map(|i| json!({"name": "data", "mountPath": format!("/data/{i}")}))
        .collect();
    container["ports"] = (0..20)
        .map(|i| json!({"name": format!("p-{i}"), "containerPort": 9000 + i}))
        .chain([json!({"name": "http", "containerPort": 8000})])
        .collect();
    container
}
