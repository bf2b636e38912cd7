//! Pods for the API server, and the requests that make them: for the look of it (server-side dry-run), or to stay.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

/// A pod that asks for little; `app` is what policies select it by.
pub fn pod(name: &str, app: &str) -> Pod {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "app",
                "image": "registry.example/app:1",
                "env": [{"name": "CHAT_DATABASE", "value": "host=db dbname=chat user=chat"}],
                "ports": [{"name": "http", "containerPort": 8000}],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    serde_json::from_value(pod).expect("a pod")
}

/// Creates `pod`; with `dry_run` it goes through admission and is not kept.
///
/// # Errors
/// What the API server answered.
pub async fn create(pods: &Api<Pod>, pod: &Pod, dry_run: bool) -> Result<Pod, String> {
    let how = PostParams {
        dry_run,
        ..PostParams::default()
    };
    pods.create(&how, pod)
        .await
        .map_err(|error| error.to_string())
}
