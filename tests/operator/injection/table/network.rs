//! Names and ports: host aliases that move to the sidecar, ports that are taken over, and what asked for them.

use bulkhead_crds::names::objects::TAKEN_OVER;
use serde_json::{Value, json};

use super::super::templates::MARK;
use super::sidecar::told;
use super::{Row, changed};

fn aliased(aliases: Value) -> Value {
    changed("chat", |pod| pod["spec"]["hostAliases"] = aliases)
}

/// What the template adds.
fn ours() -> Value {
    json!([
        {"ip": "127.0.0.1", "hostnames": ["db.internal", "db"]},
        {"ip": "127.0.0.2", "hostnames": ["cache.internal"]},
    ])
}

/// The aliases, without ours, which must be the last.
fn others(pod: &Value) -> Value {
    let aliases = pod["spec"]["hostAliases"].as_array().unwrap();
    let (others, last) = aliases.split_at(aliases.len() - 2);
    assert_eq!(json!(last), ours());
    json!(others)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = aliases();
    rows.extend(ports());
    rows.extend(probes());
    rows
}

fn aliases() -> Vec<Row> {
    vec![
        Row::injected("no aliases", "chat", changed("chat", |_| {}), |pod| {
            assert_eq!(others(pod), json!([]));
        }),
        Row::injected(
            "aliases of other names",
            "chat",
            aliased(json!([{"ip": "10.1.1.1", "hostnames": ["mail", "queue"]}])),
            |pod| {
                assert_eq!(
                    others(pod),
                    json!([{"ip": "10.1.1.1", "hostnames": ["mail", "queue"]}])
                );
                assert_eq!(told(pod), ["--grace=25s"]);
            },
        ),
        Row::injected(
            "an alias of the database",
            "chat",
            aliased(json!([{"ip": "10.1.1.1", "hostnames": ["db.internal"]}])),
            |pod| {
                assert_eq!(others(pod), json!([]));
                assert_eq!(told(pod), ["--resolve=db.internal=10.1.1.1", "--grace=25s"]);
            },
        ),
        Row::injected(
            "aliases of the database among others, twice, by IPv6",
            "chat",
            aliased(json!([
                {"ip": "10.1.1.1", "hostnames": ["mail", "db", "db.internal"]},
                {"ip": "fd00::1", "hostnames": ["db", "cache.internal"]},
            ])),
            |pod| {
                assert_eq!(
                    others(pod),
                    json!([{"ip": "10.1.1.1", "hostnames": ["mail"]}])
                );
                assert_eq!(
                    told(pod),
                    [
                        "--resolve=db=10.1.1.1",
                        "--resolve=db.internal=10.1.1.1",
                        "--resolve=db=fd00::1",
                        "--resolve=cache.internal=fd00::1",
                        "--grace=25s"
                    ]
                );
            },
        ),
        Row::injected(
            "an alias of the database on loopback",
            "chat",
            aliased(json!([
                {"ip": "127.0.0.1", "hostnames": ["db", "mail"]},
                {"ip": "::1", "hostnames": ["db"]},
            ])),
            |pod| {
                assert_eq!(
                    others(pod),
                    json!([{"ip": "127.0.0.1", "hostnames": ["mail"]}])
                );
                assert_eq!(told(pod), ["--grace=25s"]);
            },
        ),
        Row::injected(
            "aliases, and a policy that has none",
            "bare",
            changed("bare", |pod| {
                pod["spec"]["hostAliases"] = json!([{"ip": "10.1.1.1", "hostnames": ["db"]}]);
            }),
            |pod| {
                assert_eq!(
                    pod["spec"]["hostAliases"],
                    json!([{"ip": "10.1.1.1", "hostnames": ["db"]}])
                );
            },
        ),
    ]
}

/// A pod with a label that says what was taken over.
fn labelled(app: &str, mark: &str) -> Value {
    changed(app, |pod| {
        pod["metadata"]["labels"][TAKEN_OVER] = json!(mark)
    })
}

fn ports() -> Vec<Row> {
    vec![
        Row::injected(
            "no ports",
            "chat",
            changed("chat", |pod| {
                pod["spec"]["containers"] = json!([{"name": "app", "image": "a.test/b:1"}]);
            }),
            |pod| {
                assert_eq!(pod["spec"]["containers"][0]["ports"], Value::Null);
                assert_eq!(pod["labels"], json!({"app": "chat", TAKEN_OVER: MARK}));
            },
        ),
        Row::injected(
            "a port on its node, by a name that is taken over",
            "chat",
            changed("chat", |pod| {
                pod["spec"]["containers"][0]["ports"][1]["hostPort"] = json!(80);
            }),
            |pod| {
                let port = &pod["spec"]["containers"][0]["ports"][1];
                assert_eq!(port["name"], "bh-app-http");
                assert_eq!(
                    (&port["containerPort"], &port["hostPort"]),
                    (&json!(8000), &json!(80))
                );
            },
        ),
        Row::injected(
            "the label of another template that took other ports over",
            "chat",
            labelled("chat", "ffffffffffff"),
            |pod| assert_eq!(pod["labels"][TAKEN_OVER], MARK),
        ),
        Row::injected(
            "the label, and a policy that takes nothing over",
            "bare",
            labelled("bare", MARK),
            |pod| assert_eq!(pod["labels"], json!({"app": "bare"})),
        ),
        Row::injected(
            "an empty label, and a policy that takes nothing over",
            "bare",
            labelled("bare", ""),
            |pod| assert_eq!(pod["labels"], json!({"app": "bare", TAKEN_OVER: ""})),
        ),
        Row::untouched("the label, and no policy", labelled("nobody", MARK)),
        Row::injected(
            "two containers with ports of names that are taken over",
            "chat",
            changed("chat", |pod| {
                let ports = json!([
                    {"name": "ws", "containerPort": 8002},
                    {"containerPort": 8003},
                    {"name": "http", "containerPort": 8004, "protocol": "UDP"},
                ]);
                let second = json!({"name": "second", "image": "a.test/b:1", "ports": ports});
                super::super::templates::push(&mut pod["spec"]["containers"], second);
            }),
            |pod| {
                let containers = pod["spec"]["containers"].as_array().unwrap();
                assert_eq!(containers[0]["ports"][0]["name"], "metrics");
                assert_eq!(containers[0]["ports"][1]["name"], "bh-app-http");
                assert_eq!(containers[1]["ports"][0]["name"], "bh-app-ws");
                assert_eq!(containers[1]["ports"][2]["name"], "bh-app-http");
            },
        ),
        Row::injected(
            "a name that a policy does not take over",
            "bare",
            changed("bare", |_| {}),
            |pod| assert_eq!(pod["spec"]["containers"][0]["ports"][1]["name"], "http"),
        ),
    ]
}

/// A pod whose container has these fields too.
fn asking(fields: Value) -> Value {
    changed("chat", |pod| {
        let container = pod["spec"]["containers"][0].as_object_mut().unwrap();
        container.extend(fields.as_object().unwrap().clone());
    })
}

fn probes() -> Vec<Row> {
    vec![
        Row::injected(
            "probes by name",
            "chat",
            asking(json!({
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 7},
                "livenessProbe": {"tcpSocket": {"port": "http"}},
                "startupProbe": {"httpGet": {"path": "/", "port": "metrics"}},
            })),
            |pod| {
                let app = &pod["spec"]["containers"][0];
                assert_eq!(app["readinessProbe"]["httpGet"]["port"], 8000);
                assert_eq!(app["readinessProbe"]["periodSeconds"], 7);
                assert_eq!(app["livenessProbe"]["tcpSocket"]["port"], 8000);
                assert_eq!(app["startupProbe"]["httpGet"]["port"], "metrics");
            },
        ),
        Row::injected(
            "probes by number, by gRPC, by command",
            "chat",
            asking(json!({
                "readinessProbe": {"httpGet": {"path": "/", "port": 8000}},
                "livenessProbe": {"grpc": {"port": 8000}},
                "startupProbe": {"exec": {"command": ["true"]}},
            })),
            |pod| {
                let app = &pod["spec"]["containers"][0];
                assert_eq!(app["readinessProbe"]["httpGet"]["port"], 8000);
                assert_eq!(app["livenessProbe"]["grpc"]["port"], 8000);
            },
        ),
        Row::injected(
            "hooks by name",
            "chat",
            asking(json!({"lifecycle": {
                "postStart": {"tcpSocket": {"port": "http"}},
                "preStop": {"httpGet": {"path": "/bye", "port": "http"}},
            }})),
            |pod| {
                let hooks = &pod["spec"]["containers"][0]["lifecycle"];
                assert_eq!(hooks["postStart"]["tcpSocket"]["port"], 8000);
                assert_eq!(hooks["preStop"]["httpGet"]["port"], 8000);
            },
        ),
        Row::injected(
            "a probe by a name that only another container has",
            "chat",
            asking(json!({"readinessProbe": {"httpGet": {"path": "/", "port": "ws"}}})),
            |pod| {
                let app = &pod["spec"]["containers"][0];
                assert_eq!(app["readinessProbe"]["httpGet"]["port"], "ws");
            },
        ),
    ]
}
