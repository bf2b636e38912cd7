//! The images that this tree builds run where Pod Security is restricted, with nothing but what is in them.

use std::time::Duration;

use bulkhead_tests::cluster::{Cluster, Node};
use bulkhead_tests::wait;

/// The longest that a pod may take to come up or to end.
const POD: Duration = Duration::from_secs(60);

const PROGRAMS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: programs}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: sidecar
    image: bulkhead.test/sidecar:1
    imagePullPolicy: Never
    args: [--version]
    securityContext: &restricted {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
  - name: operator
    image: bulkhead.test/operator:1
    imagePullPolicy: Never
    args: [--version]
    securityContext: *restricted
";

#[tokio::test]
async fn the_programs_run_as_nobody_in_particular() {
    let node = Node::shared().await;
    node.load("sidecar").await;
    node.load("operator").await;
    let namespace = restricted(node).await;
    let in_namespace = ["--namespace", &namespace];

    node.kubectl_with(
        &[&["apply", "-f", "-"], &in_namespace[..]].concat(),
        PROGRAMS,
    )
    .await
    .check();
    let phase = ["get", "pod", "programs", "-o", "jsonpath={.status.phase}"];
    wait::until_within(POD, "both programs to end well", || async {
        let phase = node
            .kubectl(&[&phase, &in_namespace[..]].concat())
            .await
            .output;
        assert_ne!(phase, "Failed");
        phase == "Succeeded"
    })
    .await;
    for name in ["sidecar", "operator"] {
        let said = node
            .kubectl(&[&["logs", "programs", "-c", name], &in_namespace[..]].concat())
            .await
            .well();
        assert!(said.starts_with(&format!("bulkhead-{name} ")), "{said}");
    }
}

const POSTGRES: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: schema}
data: {schema.sql: 'CREATE TABLE greeting (text text); INSERT INTO greeting VALUES ($$hello$$);'}
---
apiVersion: v1
kind: Pod
metadata: {name: db}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: postgres
    image: bulkhead.test/postgres:1
    imagePullPolicy: Never
    env: [{name: POSTGRES_PASSWORD, value: secret}, {name: POSTGRES_DB, value: chat}]
    readinessProbe: {exec: {command: [pg_isready, -q, -h, 127.0.0.1]}, periodSeconds: 1}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    volumeMounts:
    - {name: data, mountPath: /var/lib/postgresql}
    - {name: schema, mountPath: /init}
  volumes:
  - {name: data, emptyDir: {}}
  - {name: schema, configMap: {name: schema}}
";

#[tokio::test]
async fn postgresql_has_the_database_that_it_was_told_to_make_and_asks_for_the_password() {
    let node = Node::shared().await;
    node.load("postgres").await;
    let namespace = restricted(node).await;
    let in_namespace = ["--namespace", &namespace];

    node.kubectl_with(
        &[&["apply", "-f", "-"], &in_namespace[..]].concat(),
        POSTGRES,
    )
    .await
    .check();
    node.kubectl(
        &[
            &["wait", "--for=condition=Ready", "--timeout=60s", "pod/db"],
            &in_namespace[..],
        ]
        .concat(),
    )
    .await
    .check();
    let query = async |password: &str| {
        let url = format!("postgres://postgres:{password}@127.0.0.1/chat");
        let command = [
            "exec",
            "db",
            "--",
            "psql",
            "-qtA",
            &url,
            "-c",
            "SELECT text FROM greeting",
        ];
        node.kubectl(&[&in_namespace[..], &command[..]].concat())
            .await
    };
    assert_eq!(query("secret").await.well().trim(), "hello");
    let refused = query("guess").await;
    assert!(
        refused.errors.contains("password authentication failed"),
        "{refused:?}"
    );
}

async fn restricted(cluster: &Cluster) -> String {
    cluster
        .namespace(&[("pod-security.kubernetes.io/enforce", "restricted")])
        .await
}
