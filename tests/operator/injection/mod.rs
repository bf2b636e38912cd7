//! Pods on their way in, as the API server injects them, as the webhook does, and as the guard judges them. Templates are made by hand here,
//! with all that one can have in it.

mod bystanders;
mod guard;
mod policy;

use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::operator::READY;
use bulkhead_tests::tools::Said;
use bulkhead_tests::wait;
use serde_json::{Value, json};

/// A namespace in which policies have an effect.
async fn enabled(cluster: &ControlPlane) -> String {
    cluster
        .namespace(&[
            ("bulkhead.dev/injection", "enabled"),
            ("pod-security.kubernetes.io/enforce", "restricted"),
        ])
        .await
}

fn security_context() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// A template of the policy `chat`, of everything that a template can say.
fn template(namespace: &str) -> Value {
    let args = json!(["run", "--snapshot", "/etc/bulkhead/policy"]);
    let env = json!([{"name": "BULKHEAD_CONTROL", "value": "/run/bulkhead/control.sock"}]);
    let mounts = json!([
        {"name": "bulkhead-policy", "mountPath": "/etc/bulkhead/policy", "readOnly": true},
        {"name": "bulkhead-run", "mountPath": "/run/bulkhead"},
        {"name": "bulkhead-no-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true},
    ]);
    json!({
        "apiVersion": "bulkhead.dev/v1alpha1",
        "kind": "InjectionTemplate",
        "metadata": {"name": "chat", "namespace": namespace, "labels": {"bulkhead.dev/owned": "true"}},
        "spec": {
            "policy": "chat", "hash": "h1", "enforce": true, "optOut": "Denied",
            "selector": {"matchLabels": {"app": "chat"}},
            "sidecar": {
                "name": "bulkhead", "image": "bulkhead.test/sidecar:1", "restartPolicy": "Always", "args": args, "env": env,
                "ports": [
                    {"name": "bh-admin", "containerPort": 9432, "protocol": "TCP"},
                    {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                ],
                "volumeMounts": mounts, "securityContext": security_context(),
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                "startupProbe": {"httpGet": {"path": "/readyz", "port": 9432}, "periodSeconds": 1, "failureThreshold": 60},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9432}, "periodSeconds": 5, "failureThreshold": 3},
                "lifecycle": {"preStop": {"exec": {"command": ["/bulkhead-sidecar", "drain"]}}},
            },
            "accepted": [{
                "image": "bulkhead.test/sidecar:1", "args": args, "env": env, "volumeMounts": mounts,
                "securityContext": security_context(),
            }],
            "volumes": [
                {"name": "bulkhead-policy", "configMap": {"name": "bulkhead-chat", "defaultMode": 292}},
                {"name": "bulkhead-run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
                {"name": "bulkhead-no-token", "emptyDir": {}},
                {"name": "bulkhead-ca", "secret": {"secretName": "bulkhead-chat-tls", "defaultMode": 292, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            ],
            "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["db.internal", "db"]}],
            "env": [{"name": "PGSSLROOTCERT", "value": "/etc/bulkhead/ca/ca.crt"}],
            "mounts": [{"name": "bulkhead-ca", "mountPath": "/etc/bulkhead/ca", "readOnly": true}],
            "takePorts": [{"name": "http", "renamed": "bh-app-http"}],
        },
    })
}

/// A pod that the template selects, and that Pod Security `restricted` admits.
fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "chat"}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "app", "image": "bulkhead.test/app:1",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "ports": [{"name": "metrics", "containerPort": 9090}, {"name": "http", "containerPort": 8000}],
                "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
            }],
        },
    })
}

/// Applies an object as the cluster's administrator.
async fn create(cluster: &ControlPlane, namespace: &str, object: &Value) -> Said {
    let arguments = ["create", "-n", namespace, "-f", "-", "-o", "json"];
    cluster.kubectl_with(&arguments, &object.to_string()).await
}

/// Makes the template of a namespace, and waits until pods are injected from it.
async fn in_force(cluster: &ControlPlane, namespace: &str, template: &Value) {
    let _made = create(cluster, namespace, template).await.well();
    let arguments = [
        "create",
        "--dry-run=server",
        "-n",
        namespace,
        "-f",
        "-",
        "-o",
        "json",
    ];
    let probe = pod("probe").to_string();
    wait::until_within(READY, "pods to be injected", || async {
        let said = cluster.kubectl_with(&arguments, &probe).await;
        said.output.contains("bulkhead.dev/injected")
    })
    .await;
}

/// The pod that the API server stored.
async fn created(cluster: &ControlPlane, namespace: &str, pod: &Value) -> Value {
    serde_json::from_str(&create(cluster, namespace, pod).await.well()).unwrap()
}
