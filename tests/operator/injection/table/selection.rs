//! Whose pod it is: selectors, older policies, opting out, and pods that nobody can inject.

use serde_json::{Value, json};

use super::super::templates::{bare, pod};
use super::{Row, changed};

/// A template with another selector.
fn selecting(policy: &str, selector: Value) -> Value {
    let mut template = bare(policy);
    template["spec"]["selector"] = selector;
    template
}

pub(super) fn templates() -> Vec<Value> {
    let tier = |operator: &str, values: Value| json!({"key": "tier", "operator": operator, "values": values});
    let mut denied = bare("denied");
    denied["spec"]["optOut"] = json!("Denied");
    let mut younger = selecting("younger", json!({"matchLabels": {"team": "blue"}}));
    younger["spec"]["excluding"] = json!([
        {"matchLabels": {"app": "bare"}},
        {"matchLabels": {"age": "old"}, "matchExpressions": [tier("In", json!(["back"]))]},
    ]);
    vec![
        denied,
        younger,
        selecting(
            "within",
            json!({"matchLabels": {"app": "within"}, "matchExpressions": [tier("In", json!(["front", "middle"]))]}),
        ),
        selecting(
            "without",
            json!({"matchLabels": {"app": "without"}, "matchExpressions": [tier("NotIn", json!(["front"]))]}),
        ),
        selecting(
            "having",
            json!({"matchExpressions": [{"key": "having", "operator": "Exists"}]}),
        ),
        selecting(
            "lacking",
            json!({"matchLabels": {"app": "lacking"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
        ),
    ]
}

/// A pod with these labels alone.
fn labelled(labels: Value) -> Value {
    changed("", |pod| pod["metadata"]["labels"] = labels)
}

fn annotated(app: &str, annotations: Value) -> Value {
    changed(app, |pod| pod["metadata"]["annotations"] = annotations)
}

fn called_bulkhead(app: &str, list: &str) -> Value {
    changed(app, |pod| {
        pod["spec"][list] = json!([{"name": "bulkhead", "image": "somebody.test/else:1"}]);
        if list == "initContainers" {
            return;
        }
        pod["spec"]["initContainers"] = json!([{"name": "first", "image": "somebody.test/else:1"}]);
    })
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = by_labels();
    rows.extend(by_annotations());
    rows.extend([
        Row::untouched(
            "on its node's network",
            changed("chat", |pod| pod["spec"]["hostNetwork"] = json!(true)),
        ),
        Row::untouched(
            "a container of its own is called bulkhead",
            called_bulkhead("chat", "containers"),
        ),
        Row::untouched(
            "an init container of its own is called bulkhead",
            called_bulkhead("chat", "initContainers"),
        ),
        Row::untouched("a container called bulkhead in a pod that was injected", {
            let mut pod = called_bulkhead("chat", "containers");
            pod["metadata"]["annotations"] = json!({"bulkhead.dev/injected": "chat@h0"});
            pod
        }),
        Row::untouched(
            "mirrored by a node",
            changed("chat", |pod| {
                pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
                pod["spec"]["nodeName"] = json!("node");
            }),
        ),
    ]);
    rows
}

fn by_labels() -> Vec<Row> {
    let nothing: fn(&Value) = |_| {};
    vec![
        Row::untouched("no labels", {
            let mut pod = pod("");
            pod["metadata"].as_object_mut().unwrap().remove("labels");
            pod
        }),
        Row::untouched("labels of nobody", pod("other")),
        Row::untouched(
            "the value of another label",
            labelled(json!({"name": "chat"})),
        ),
        Row::injected(
            "In, and one of them",
            "within",
            labelled(json!({"app": "within", "tier": "middle"})),
            nothing,
        ),
        Row::untouched(
            "In, and none of them",
            labelled(json!({"app": "within", "tier": "back"})),
        ),
        Row::untouched("In, and no such label", pod("within")),
        Row::injected(
            "NotIn, and another",
            "without",
            labelled(json!({"app": "without", "tier": "back"})),
            nothing,
        ),
        Row::injected(
            "NotIn, and no such label",
            "without",
            pod("without"),
            nothing,
        ),
        Row::untouched(
            "NotIn, and one of them",
            labelled(json!({"app": "without", "tier": "front"})),
        ),
        Row::injected(
            "Exists, and it does, and is empty",
            "having",
            labelled(json!({"having": ""})),
            nothing,
        ),
        Row::injected(
            "DoesNotExist, and it does not",
            "lacking",
            pod("lacking"),
            nothing,
        ),
        Row::untouched(
            "DoesNotExist, and it does",
            labelled(json!({"app": "lacking", "tier": ""})),
        ),
        Row::injected(
            "the younger policy alone",
            "younger",
            labelled(json!({"team": "blue"})),
            nothing,
        ),
        Row::injected(
            "the younger policy, and half of what an older one asks",
            "younger",
            labelled(json!({"team": "blue", "age": "old", "tier": "front"})),
            nothing,
        ),
        Row::injected(
            "a younger and an older policy",
            "bare",
            labelled(json!({"team": "blue", "app": "bare"})),
            |pod| assert_eq!(pod["spec"]["initContainers"].as_array().unwrap().len(), 1),
        ),
        Row::untouched(
            "an older policy that has no template",
            labelled(json!({"team": "blue", "age": "old", "tier": "back"})),
        ),
    ]
}

fn by_annotations() -> Vec<Row> {
    let nothing: fn(&Value) = |_| {};
    vec![
        Row::untouched(
            "opted out where it may",
            annotated("chat", json!({"bulkhead.dev/inject": "false"})),
        ),
        Row::injected(
            "opted out by another word",
            "chat",
            annotated("chat", json!({"bulkhead.dev/inject": "no"})),
            nothing,
        ),
        Row::injected(
            "opted out where it may not",
            "denied",
            annotated("denied", json!({"bulkhead.dev/inject": "false"})),
            nothing,
        ),
        Row::injected(
            "annotations of others",
            "chat",
            annotated(
                "chat",
                json!({"prometheus.io/scrape": "true", "a.test/b_c": "d"}),
            ),
            |pod| {
                assert_eq!(pod["annotations"]["a.test/b_c"], "d");
                assert_eq!(pod["annotations"]["prometheus.io/scrape"], "true");
            },
        ),
    ]
}
