//! Faults of the operator's, and what it tells of pods: against a real control plane.

use bulkhead_crds::names::objects::{ENABLED, INJECTION};
use bulkhead_tests::cluster::{ControlPlane, Options};
use bulkhead_tests::operator::{Launch, NAMESPACE, Operator, control_plane_with};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::prometheus::{Prometheus, Target};

/// A control plane of a version whose API server does not inject by itself, so that pods come by the webhook.
pub(crate) async fn older_control_plane() -> ControlPlane {
    control_plane_with(Options {
        emulated: Some("1.35"),
        controller_manager: false,
        ..Options::default()
    })
    .await
}

pub(crate) async fn apply(cluster: &ControlPlane, namespace: &str, object: &Value) {
    let arguments = ["apply", "--server-side", "-n", namespace, "-f", "-"];
    let said = cluster.kubectl_with(&arguments, &object.to_string()).await;
    said.check();
}

pub(crate) fn policy() -> Value {
    json!({
        "apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy", "metadata": {"name": "chat"},
        "spec": {
            "selector": {"matchLabels": {"app": "chat"}},
            "mode": "Audit",
            "identity": {"source": "Trusted"},
            "databases": [{
                "name": "main", "protocol": "PostgreSQL", "listen": {"port": 5432, "auth": {"mode": "Trust"}},
                "upstream": {"host": "db.internal", "tls": {"mode": "Disable"}},
            }],
        },
    })
}

pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "chat"}},
        "spec": {"containers": [{"name": "app", "image": "example.test/app:1"}]},
    })
}

/// An enabled namespace in which pods can be made.
pub(crate) async fn enabled(cluster: &ControlPlane) -> String {
    let namespace = cluster.namespace(&[(INJECTION, ENABLED)]).await;
    cluster.service_account(&namespace, "default").await;
    namespace
}

#[tokio::test]
async fn an_operator_that_is_gone_a_certificate_that_ends_and_a_pod_that_was_missed() {
    let cluster = older_control_plane().await;
    let namespace = enabled(&cluster).await;
    // Given a pod that is older than its policy, and an operator whose certificates live for an hour,
    apply(&cluster, &namespace, &pod("old")).await;
    apply(&cluster, &namespace, &policy()).await;
    let lifetimes = ["--certificate-lifetime=1h", "--authority-lifetime=8h"];
    let launch = Launch {
        arguments: lifetimes.map(str::to_owned).to_vec(),
        ..Launch::default()
    };
    let mut operator = Operator::start_with(&cluster, &launch).await;
    operator.until_installed().await;
    let prometheus = Prometheus::start(&[Target::operator(operator.admin())]).await;
    let policy = [("namespace", namespace.as_str()), ("policy", "chat")];
    prometheus.firing("BulkheadPodsUninjected", &policy).await;
    prometheus.firing("BulkheadCertificateExpires", &[]).await;
    assert!(!prometheus.fires("BulkheadOperatorAbsent"));

    // when the pod is gone, so is its alert;
    let arguments = [
        "delete",
        "pod",
        "old",
        "-n",
        &namespace,
        "--grace-period=0",
        "--force",
    ];
    cluster.kubectl(&arguments).await.check();
    prometheus.resolved("BulkheadPodsUninjected", &policy).await;

    // when the operator is gone, that is told,
    operator.signal(Signal::KILL);
    prometheus.firing("BulkheadOperatorAbsent", &[]).await;

    // until another one has come, whose certificates live for long once the old ones are deleted, as the runbook says.
    let operator = Operator::start(&cluster).await;
    prometheus.scrape(&[Target::operator(operator.admin())]);
    prometheus.resolved("BulkheadOperatorAbsent", &[]).await;
    operator.until_installed().await;
    let secret = [
        "delete",
        "secret",
        "bulkhead-webhook-certificates",
        "-n",
        NAMESPACE,
    ];
    cluster.kubectl(&secret).await.check();
    prometheus.resolved("BulkheadCertificateExpires", &[]).await;
    assert!(!prometheus.fires("BulkheadNoLeader"));
}
