//! `lint` over files, as a pipeline runs it.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

const POLICY: &str = "\
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat, namespace: shop}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: SignedContext}
  databases:
  - name: main
    protocol: PostgreSQL
    upstream: {host: db, credentialsSecretRef: {name: chat-db}}
  webSockets:
  - name: chat
    listen: {takesOver: http}
    upstream: {port: 8000}
    timeouts: {handshake: 1m}
";

const AROUND: &str = "\
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: chat
  namespace: shop
spec:
  template:
    metadata:
      labels: {app: chat}
    spec:
      containers:
      - name: app
        ports:
        - name: http
          containerPort: 8000
        env:
        - name: PGCONNECT_TIMEOUT
          value: \"3\"
        envFrom:
        - secretRef: {name: chat-db}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: chat}
  ports:
  - port: 80
    targetPort: 8000
";

struct Linted {
    code: i32,
    out: String,
    err: String,
}

/// What the binary says of a text on standard input.
fn lint(text: &str, arguments: &[&str]) -> Linted {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bulkhead-operator"))
        .args(["lint", "-f", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    Linted {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_sound_policy_passes_in_silence() {
    let linted = lint(POLICY, &["--strict"]);
    assert_eq!(
        (linted.code, linted.out.as_str()),
        (0, ""),
        "{}",
        linted.err
    );
}

#[test]
fn an_error_fails_with_its_file_line_and_field() {
    let broken = POLICY.replace("handshake: 1m", "handshake: soon");
    let linted = lint(&broken, &[]);
    assert_eq!(linted.code, 1);
    let start = "-:15: error: IsolationPolicy shop/chat: spec.webSockets[0].timeouts.handshake: ";
    assert!(linted.out.starts_with(start), "{}", linted.out);
    assert!(linted.err.contains("1 error, 0 warnings"), "{}", linted.err);
}

#[test]
fn ways_round_are_warnings_and_fail_a_strict_pipeline() {
    let text = format!("{POLICY}{AROUND}");
    assert_eq!(lint(&text, &[]).code, 0);
    let linted = lint(&text, &["--strict", "--format", "json"]);
    assert_eq!(linted.code, 1);
    let report: Value = serde_json::from_str(&linted.out).unwrap();
    let found: Vec<(String, u64, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["reason"].as_str().unwrap().to_owned(),
                it["line"].as_u64().unwrap(),
                it["path"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        (
            "ApplicationTimeouts",
            33,
            "spec.template.spec.containers[app].env[PGCONNECT_TIMEOUT]",
        ),
        (
            "CredentialsShared",
            36,
            "spec.template.spec.containers[app].envFrom[0]",
        ),
        ("NumericService", 45, "spec.ports[0].targetPort"),
    ];
    assert_eq!(
        found,
        expected.map(|(reason, line, path)| (reason.to_owned(), line, path))
    );
    assert_eq!(
        (report["errors"].as_u64(), report["warnings"].as_u64()),
        (Some(0), Some(3))
    );
}

#[test]
fn a_limit_range_that_leaves_no_room_for_the_sidecar_is_a_warning_where_its_policy_is() {
    // Given LimitRanges of which one admits the sidecar and one does not: 32Mi, 16Mi for buffers, 64Mi for resumes, 4Ki for each of 10000
    // users.
    let ranges = "\
---
apiVersion: v1
kind: LimitRange
metadata: {name: roomy, namespace: shop}
spec:
  limits:
  - type: Container
    max: {memory: 1Gi}
---
apiVersion: v1
kind: LimitRange
metadata: {name: small, namespace: shop}
spec:
  limits:
  - type: PersistentVolumeClaim
    max: {storage: 1Gi}
  - type: Container
    max:
      memory: 128Mi
";
    let linted = lint(&format!("{POLICY}{ranges}"), &["--strict"]);
    assert_eq!(linted.code, 1);
    let start = "-:34: warning: LimitRange shop/small: spec.limits[1].max.memory: the sidecar's memory limit is above it";
    assert!(linted.out.starts_with(start), "{}", linted.out);
    assert!(linted.out.contains("[LimitRange]"), "{}", linted.out);
    assert_eq!(linted.out.lines().count(), 1, "{}", linted.out);

    // When the policy asks for less, or stands elsewhere, then there is nothing to say.
    let fewer = POLICY.replace("spec:\n", "spec:\n  limits: {maxUsers: 1000}\n");
    let elsewhere = POLICY.replace("namespace: shop", "namespace: other");
    for policy in [fewer, elsewhere] {
        let linted = lint(&format!("{policy}{ranges}"), &["--strict"]);
        assert_eq!((linted.code, linted.out.as_str()), (0, ""));
    }
}

#[test]
fn what_is_around_other_pods_is_nobody_s_business() {
    let text = format!("{POLICY}{}", AROUND.replace("{app: chat}", "{app: other}"));
    let linted = lint(&text, &["--strict"]);
    assert_eq!(linted.code, 0, "{}", linted.out);
    let elsewhere = format!(
        "{POLICY}{}",
        AROUND.replace("namespace: shop", "namespace: other")
    );
    assert_eq!(lint(&elsewhere, &["--strict"]).code, 0);
}

#[test]
fn the_overlay_of_the_namespace_s_environment_counts() {
    let overlay = "  environments:\n  - name: staging\n    webSockets: [{name: chat, listen: {takesOver: web}, upstream: {port: 9000}}]\n";
    let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {bulkhead.dev/environment: staging}\n";
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: chat}, ports: [{port: 9000}]}\n";
    let linted = lint(&format!("{POLICY}{overlay}{namespace}{service}"), &[]);
    assert!(linted.out.contains("[NumericService]"), "{}", linted.out);
    assert!(
        linted.out.contains("[NamespaceNotEnabled]"),
        "{}",
        linted.out
    );
    let linted = lint(&format!("{POLICY}{overlay}{service}"), &[]);
    assert!(!linted.out.contains("[NumericService]"), "{}", linted.out);
}

#[test]
fn two_policies_with_one_selector_conflict() {
    let other = POLICY.replace("name: chat, namespace", "name: other, namespace");
    let linted = lint(&format!("{POLICY}---\n{other}"), &[]);
    assert_eq!(linted.code, 1);
    assert!(linted.out.contains("-:21: error: IsolationPolicy shop/other: spec.selector: policy chat has the same selector"), "{}", linted.out);
}

#[test]
fn code_scanning_gets_every_place() {
    let linted = lint(&format!("{POLICY}{AROUND}"), &["--format", "sarif"]);
    assert_eq!(linted.code, 0);
    let log: Value = serde_json::from_str(&linted.out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert!(region["startLine"].as_u64().unwrap() > 15);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead-operator"))
        .args(["lint", "-f", "/no/such/file.yaml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("/no/such/file.yaml:1: error: cannot be read")
    );
}

#[test]
fn the_completions_of_each_shell_know_the_subcommands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(env!("CARGO_BIN_EXE_bulkhead-operator"))
            .args(["completions", shell])
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout).unwrap().contains("lint"),
            "{shell}"
        );
    }
}
