//! `inject` over files, as somebody does who keeps injected manifests in Git.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde::Deserialize as _;
use serde_json::{Value, json};

const POLICY: &str = "\
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: SignedContext}
  databases:
  - name: main
    protocol: PostgreSQL
    upstream: {host: db, credentialsSecretRef: {name: chat-db}}
  environments:
  - name: staging
    databases: [{name: main, upstream: {host: db.staging.example.org}}]
";

const MANIFESTS: &str = "\
# The Service stays as it is.
apiVersion: v1
kind: Service
metadata: {name: chat, namespace: shop}
spec: {selector: {app: chat}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: List
items:
- apiVersion: batch/v1
  kind: CronJob
  metadata: {name: nightly, namespace: shop}
  spec:
    schedule: \"0 3 * * *\"
    jobTemplate:
      spec:
        template:
          metadata:
            labels: {app: chat}
          spec:
            restartPolicy: Never
            containers:
            - {name: job, image: job}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: other, namespace: shop}
  spec:
    selector: {matchLabels: {app: other}}
    template:
      metadata: {labels: {app: other}}
      spec: {containers: [{name: other, image: other}]}
";

/// A file with this text, which is gone at the end of the test.
struct File(PathBuf);

impl File {
    fn of(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bulkhead-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn run(policy: &File, more: &[&str], manifests: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bulkhead-operator"))
        .args(["inject", "-f", "-", "--policy"])
        .arg(&policy.0)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(manifests.as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

#[test]
fn what_a_policy_selects_comes_out_with_the_sidecar_and_all_else_as_it_was() {
    let policy = File::of("injected.yaml", POLICY);
    let output = run(&policy, &["--environment", "staging"], MANIFESTS);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(
        printed.starts_with("# The Service stays as it is.\napiVersion: v1\nkind: Service\n"),
        "{printed}"
    );

    let (before, after) = (documents(MANIFESTS), documents(&printed));
    assert_eq!(after.len(), 2);
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1]["items"][1], before[1]["items"][1]);
    let template = &after[1]["items"][0]["spec"]["jobTemplate"]["spec"]["template"];
    let spec = &template["spec"];
    assert_eq!(spec["initContainers"][0]["name"], "bulkhead");
    assert_eq!(spec["restartPolicy"], "Never");
    assert_eq!(
        spec["hostAliases"],
        json!([{"ip": "127.0.0.1", "hostnames": ["db.staging.example.org"]}])
    );
    let mark = template["metadata"]["annotations"]["bulkhead.dev/injected"]
        .as_str()
        .unwrap();
    assert!(mark.starts_with("chat@"), "{mark}");

    let told = text(&output.stderr);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(
        lines[0].contains("CronJob shop/nightly: injected"),
        "{told}"
    );
    assert!(
        lines[1].contains("Deployment shop/other: left alone"),
        "{told}"
    );
}

#[test]
fn what_comes_out_goes_in_again_and_comes_out_the_same() {
    let policy = File::of("again.yaml", POLICY);
    let once = text(&run(&policy, &[], MANIFESTS).stdout);
    let twice = run(&policy, &[], &once);
    assert!(twice.status.success(), "{}", text(&twice.stderr));
    assert_eq!(text(&twice.stdout), once);
}

#[test]
fn a_service_is_known_by_all_its_names_in_the_namespace_of_the_workload() {
    let policy = File::of("names.yaml", POLICY);
    let printed = text(&run(&policy, &["--cluster-domain", "example.local"], MANIFESTS).stdout);
    let list = &documents(&printed)[1]["items"];
    assert_eq!(
        list[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["hostAliases"][0]["hostnames"],
        json!(["db", "db.shop", "db.shop.svc", "db.shop.svc.example.local"])
    );
}

#[test]
fn a_mistake_is_told_with_file_line_and_field_and_nothing_is_printed() {
    let policy = File::of("wrong.yaml", POLICY);
    let wrong = MANIFESTS.replace(
        "- {name: job, image: job}",
        "- {name: job, image: job, env: NONE}",
    );
    let output = run(&policy, &[], &wrong);
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    let told = text(&output.stderr);
    assert!(
        told.contains(
            "-:23: CronJob nightly: spec.jobTemplate.spec.template.spec.containers[0].env: "
        ),
        "{told}"
    );
}
