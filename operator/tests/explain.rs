//! `explain` over files, as a person at a terminal runs it.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const MANIFESTS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {bulkhead.dev/injection: enabled, bulkhead.dev/environment: staging}}
---
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat, namespace: shop}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: SignedContext}
  databases: [{name: main, protocol: PostgreSQL, upstream: {host: db}, timeouts: {connect: 10s}}]
  environments:
  - name: staging
    databases: [{name: main, timeouts: {connect: 35s}}]
---
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: everything, namespace: shop}
spec:
  selector: {}
  identity: {source: SignedContext}
  databases: [{name: main, protocol: PostgreSQL, upstream: {host: db}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: shop}
spec: {template: {metadata: {labels: {app: chat}}, spec: {containers: []}}}
---
apiVersion: v1
kind: Pod
metadata: {name: lone, namespace: other, labels: {app: chat}}
spec: {containers: []}
";

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn explain(text: &str, arguments: &[&str]) -> Said {
    let file = std::env::temp_dir().join(format!(
        "bulkhead-explain-{}-{}.yaml",
        std::process::id(),
        arguments.join("_").replace('/', "-")
    ));
    std::fs::write(&file, text).unwrap();
    let said = explain_file(&file, arguments);
    std::fs::remove_file(&file).unwrap();
    said
}

fn explain_file(file: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead-operator"))
        .args(["explain", "-f"])
        .arg(file)
        .args(arguments)
        .output()
        .expect("the binary starts");
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn words<'a>(said: &'a Said, field: &str) -> Vec<&'a str> {
    let line = said.out.lines().find(|line| line.contains(field));
    line.unwrap_or_else(|| panic!("no {field} in\n{}{}", said.out, said.err))
        .split_whitespace()
        .collect()
}

#[test]
fn a_workload_gets_the_policy_that_selects_it_in_its_namespace_s_environment() {
    let said = explain(MANIFESTS, &["deployment/chat"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out
            .starts_with("deployment/chat in shop: policy chat\n"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("selected by everything too"),
        "{}",
        said.out
    );
    let connect = "databases[main].timeouts.connect";
    assert_eq!(
        words(&said, connect),
        [connect, "35s", "environment", "staging"]
    );
}

#[test]
fn a_pod_that_nobody_selects_is_an_error_that_says_so() {
    let said = explain(MANIFESTS, &["pod/lone", "-n", "other"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains("no policy of namespace other selects pod/lone"),
        "{}",
        said.err
    );
}

#[test]
fn environments_stand_side_by_side_with_what_differs_marked() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/chat/policy.yaml");
    let said = explain_file(&example, &[]);
    let connect = "databases[main].timeouts.connect";
    assert_eq!(
        words(&said, connect),
        [
            "*",
            connect,
            "10s",
            "(base)",
            "35s",
            "(environment",
            "staging)",
            "10s",
            "(base)"
        ]
    );
    let acquire = "databases[main].timeouts.acquire";
    assert_eq!(words(&said, acquire)[0], acquire, "{}", said.out);
}

#[test]
fn scripts_get_the_same_as_json() {
    let said = explain(
        MANIFESTS,
        &[
            "ipol/chat",
            "--environment",
            "staging,production",
            "-o",
            "json",
        ],
    );
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["policy"], "chat");
    let fields = report["fields"].as_array().unwrap();
    let connect = fields
        .iter()
        .find(|it| it["path"] == "databases[main].timeouts.connect")
        .unwrap();
    assert_eq!(connect["differs"], true);
    assert_eq!(connect["environments"]["staging"]["value"], "35s");
    assert_eq!(connect["environments"]["production"]["origin"], "base");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let broken = MANIFESTS.replace("connect: 10s", "connect: soon");
    let said = explain(&broken, &["ipol/chat"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains(".yaml:11: spec.databases[0].timeouts.connect"),
        "{}",
        said.err
    );
    for (target, expected) in [
        ("ipol/none", "no policy none"),
        ("service/x", "write KIND/NAME"),
        ("deployment/none", "no Deployment none"),
    ] {
        let said = explain(MANIFESTS, &[target]);
        assert_eq!(said.code, 1, "{target}");
        assert!(said.err.contains(expected), "{target}: {}", said.err);
    }
}
