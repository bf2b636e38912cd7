//! The sidecar itself: where it stands, what it is told, and what becomes of an older one.

use serde_json::{Value, json};

use super::super::templates::{MARK, container, push};
use super::{Row, changed};

/// The names of the init containers.
fn order(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["initContainers"].as_array().unwrap();
    containers
        .iter()
        .map(|container| container["name"].as_str().unwrap())
        .collect()
}

/// The sidecar.
pub(super) fn sidecar(pod: &Value) -> &Value {
    let containers = pod["spec"]["initContainers"].as_array().unwrap();
    containers
        .iter()
        .find(|container| container["name"] == "bulkhead")
        .unwrap()
}

/// The arguments of the sidecar that hang on the pod.
pub(super) fn told(pod: &Value) -> Vec<&str> {
    let arguments = sidecar(pod)["args"].as_array().unwrap();
    arguments[5..]
        .iter()
        .map(|argument| argument.as_str().unwrap())
        .collect()
}

fn starting_with(names: &[&str]) -> Value {
    changed("chat", |pod| {
        pod["spec"]["initContainers"] = names
            .iter()
            .map(|name| json!({"name": name, "image": "somebody.test/else:1"}))
            .collect();
    })
}

fn ending_within(seconds: u32) -> Value {
    changed("chat", |pod| {
        pod["spec"]["terminationGracePeriodSeconds"] = json!(seconds);
    })
}

/// A pod with a sidecar of an older template, with what that was told.
fn stale(revision: &str, told: &[&str]) -> Value {
    changed("chat", |pod| {
        pod["metadata"]["annotations"] = json!({"bulkhead.dev/injected": revision});
        let mut args = vec!["run"];
        args.extend(told);
        let old = json!({
            "name": "bulkhead", "image": "bulkhead.test/sidecar:0", "restartPolicy": "Always", "args": args,
            "volumeMounts": [{"name": "bulkhead-policy", "mountPath": "/etc/bulkhead/policy"}],
        });
        pod["spec"]["initContainers"] =
            json!([{"name": "first", "image": "somebody.test/else:1"}, old]);
        pod["spec"]["volumes"] =
            json!([{"name": "bulkhead-policy", "configMap": {"name": "bulkhead-old"}}]);
        pod["spec"]["hostAliases"] = json!([{"ip": "127.0.0.1", "hostnames": ["db.internal"]}]);
    })
}

/// A pod whose label says what is taken over, as the template has it.
fn marked(mut pod: Value) -> Value {
    pod["metadata"]["labels"]["bulkhead.dev/taken-over"] = json!(MARK);
    pod
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = places();
    rows.extend(graces());
    rows.extend(older());
    rows.push(Row::injected(
        "the whole of it",
        "chat",
        changed("chat", |_| {}),
        |pod| {
            let sidecar = sidecar(pod);
            assert_eq!(sidecar["restartPolicy"], "Always");
            assert_eq!(sidecar["resources"]["requests"]["cpu"], "50m");
            assert_eq!(
                sidecar["volumeMounts"].as_array().unwrap().len(),
                5,
                "no token of the service account: {sidecar:#}"
            );
            assert_eq!(
                pod["spec"]["volumes"].as_array().unwrap().len(),
                8,
                "{pod:#}"
            );
        },
    ));
    rows.push(Row::injected(
        "of a ReplicaSet, without a name yet",
        "chat",
        changed("chat", |pod| {
            pod["metadata"] =
                json!({"generateName": "chat-", "labels": {"app": "chat"}, "finalizers": ["a.test/b"]});
        }),
        |pod| assert_eq!(order(pod), ["bulkhead"]),
    ));
    rows.push(Row::injected(
        "of a Job",
        "chat",
        changed("chat", |pod| {
            pod["spec"]["restartPolicy"] = json!("Never");
            pod["spec"]["activeDeadlineSeconds"] = json!(60);
            pod["spec"]["automountServiceAccountToken"] = json!(false);
        }),
        |pod| {
            assert_eq!(pod["spec"]["restartPolicy"], "Never");
            assert_eq!(sidecar(pod)["restartPolicy"], "Always");
        },
    ));
    rows
}

fn places() -> Vec<Row> {
    vec![
        Row::injected(
            "init containers of its own, which may need the database",
            "chat",
            starting_with(&["migrate", "warm-up"]),
            |pod| assert_eq!(order(pod), ["bulkhead", "migrate", "warm-up"]),
        ),
        Row::injected(
            "a mesh whose proxy is a native sidecar",
            "chat",
            starting_with(&["istio-init", "istio-proxy", "migrate"]),
            |pod| {
                assert_eq!(
                    order(pod),
                    ["istio-init", "istio-proxy", "bulkhead", "migrate"]
                );
            },
        ),
        Row::injected(
            "a mesh that comes after another",
            "chat",
            starting_with(&["first", "linkerd-proxy", "last"]),
            |pod| assert_eq!(order(pod), ["first", "linkerd-proxy", "bulkhead", "last"]),
        ),
        Row::injected(
            "a native sidecar of its own",
            "chat",
            changed("chat", |pod| {
                let mut own = container("proxy");
                own["restartPolicy"] = json!("Always");
                own["startupProbe"] = json!({"tcpSocket": {"port": "http"}});
                pod["spec"]["initContainers"] = json!([own]);
            }),
            |pod| {
                let own = &pod["spec"]["initContainers"][1];
                assert_eq!(own["ports"][1]["name"], "bh-app-http");
                assert_eq!(own["startupProbe"]["tcpSocket"]["port"], 8000);
            },
        ),
    ]
}

fn graces() -> Vec<Row> {
    vec![
        Row::injected(
            "no word of an end",
            "chat",
            changed("chat", |_| {}),
            |pod| {
                assert_eq!(told(pod), ["--grace=25s"]);
            },
        ),
        Row::injected("an end at once", "chat", ending_within(0), |pod| {
            assert_eq!(told(pod), ["--grace=1s"]);
        }),
        Row::injected("an end within 6 s", "chat", ending_within(6), |pod| {
            assert_eq!(told(pod), ["--grace=1s"]);
        }),
        Row::injected("an end within 7 s", "chat", ending_within(7), |pod| {
            assert_eq!(told(pod), ["--grace=2s"]);
        }),
        Row::injected(
            "an end within an hour",
            "chat",
            ending_within(3600),
            |pod| {
                assert_eq!(told(pod), ["--grace=3595s"]);
            },
        ),
    ]
}

fn older() -> Vec<Row> {
    vec![
        Row::injected(
            "an older sidecar, which was told where a name led",
            "chat",
            stale(
                "chat@h0",
                &[
                    "--resolve=db.internal=10.0.0.7",
                    "--resolve=no-address",
                    "--grace=9s",
                ],
            ),
            |pod| {
                assert_eq!(order(pod), ["bulkhead", "first"]);
                assert_eq!(sidecar(pod)["image"], "bulkhead.test/sidecar:1");
                assert_eq!(told(pod), ["--resolve=db.internal=10.0.0.7", "--grace=25s"]);
                assert_eq!(pod["spec"]["hostAliases"].as_array().unwrap().len(), 2);
                let volumes = pod["spec"]["volumes"].to_string();
                assert!(!volumes.contains("bulkhead-old"), "{volumes}");
            },
        ),
        Row::injected(
            "an older sidecar, and an alias that was added since",
            "chat",
            {
                let mut pod = stale(
                    "chat@h0",
                    &[
                        "--resolve=db.internal=10.0.0.7",
                        "--resolve=cache.internal=10.0.0.8",
                    ],
                );
                push(
                    &mut pod["spec"]["hostAliases"],
                    json!({"ip": "10.0.0.9", "hostnames": ["db.internal"]}),
                );
                pod
            },
            |pod| {
                assert_eq!(
                    told(pod),
                    [
                        "--resolve=db.internal=10.0.0.9",
                        "--resolve=cache.internal=10.0.0.8",
                        "--grace=25s"
                    ]
                );
            },
        ),
        Row::injected(
            "a sidecar of another policy",
            "chat",
            stale("other@h1", &[]),
            |pod| assert_eq!(sidecar(pod)["image"], "bulkhead.test/sidecar:1"),
        ),
        Row::injected(
            "the annotation of an injected pod, and no sidecar",
            "chat",
            changed("chat", |pod| {
                pod["metadata"]["annotations"] = json!({"bulkhead.dev/injected": "chat@h1"});
            }),
            |pod| assert_eq!(order(pod), ["bulkhead"]),
        ),
        Row::untouched(
            "the sidecar that it would be given, whatever has come before it since",
            marked(stale("chat@h1", &["--grace=9s"])),
        ),
        Row::injected(
            "that sidecar, without the label by which what it takes over is closed",
            "chat",
            stale("chat@h1", &["--grace=9s"]),
            |pod| assert_eq!(sidecar(pod)["image"], "bulkhead.test/sidecar:1"),
        ),
    ]
}
