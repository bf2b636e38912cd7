//! A real API server takes what the chart renders, and Pod Security `restricted` admits its pods.

use bulkhead_tests::cluster::ControlPlane;
use serde_json::{Value, json};

use crate::render::{NAMESPACE, objects, rendered, value_sets};

/// What only other people's definitions make known.
fn is_foreign(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap();
    version.starts_with("monitoring.coreos.com") || version.starts_with("cert-manager.io")
}

// On the server's side, for several tests do it at one time.
async fn namespaces(cluster: &ControlPlane) {
    for name in [NAMESPACE, "chat-staging", "chat-production"] {
        let restricted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}}});
        let _ = cluster
            .kubectl_with(
                &["apply", "--server-side", "-f", "-"],
                &restricted.to_string(),
            )
            .await
            .well();
    }
}

#[tokio::test]
async fn the_api_server_takes_every_value_set_without_a_warning() {
    let cluster = ControlPlane::shared().await;
    namespaces(cluster).await;
    let _ = cluster.service_account(NAMESPACE, "default").await;
    for values in value_sets() {
        let mut known: Vec<Value> = objects(&rendered(&values, &[]));
        known.retain(|object| !is_foreign(object));
        for object in known.iter_mut().filter(|object| object["kind"] == "Pod") {
            // A dry run makes no account for it.
            object["spec"]["serviceAccountName"] = Value::Null;
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": known}).to_string();
        let said = cluster
            .kubectl_with(
                &[
                    "apply",
                    "--server-side",
                    "--dry-run=server",
                    "--validate=strict",
                    "--warnings-as-errors",
                    "-f",
                    "-",
                ],
                &list,
            )
            .await
            .well();
        assert!(said.contains("deployment.apps/"), "{values}: {said}");
    }
}

#[tokio::test]
async fn its_pods_pass_pod_security_restricted() {
    let cluster = ControlPlane::shared().await;
    namespaces(cluster).await;
    for values in ["default", "cert-manager", "openshift"] {
        let mut tried = 0;
        for object in objects(&rendered(values, &[])) {
            let spec = match object["kind"].as_str().unwrap() {
                "Deployment" | "Job" => object["spec"]["template"]["spec"].clone(),
                "Pod" => object["spec"].clone(),
                _ => continue,
            };
            let mut spec = spec;
            // The accounts are not there, and not the question.
            spec["serviceAccountName"] = Value::Null;
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try", "namespace": "chat-staging"}, "spec": spec});
            cluster.service_account("chat-staging", "default").await;
            let _ = cluster
                .kubectl_with(&["create", "--dry-run=server", "-f", "-"], &pod.to_string())
                .await
                .well();
            tried += 1;
        }
        assert_eq!(tried, 3, "{values}: the operator, the hook and the test");
    }
}
