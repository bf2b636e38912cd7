//! What injection adds is allowed where least is allowed.

use super::scene::{create, enabled, in_force, shared};
use super::templates::{enforced, pod};

#[tokio::test]
async fn a_restricted_namespace_admits_an_injected_pod() {
    let cluster = shared().await;
    let labels = [
        ("pod-security.kubernetes.io/enforce", "restricted"),
        ("pod-security.kubernetes.io/enforce-version", "latest"),
    ];
    let namespace = enabled(cluster, &labels).await;
    in_force(cluster, &namespace, &[enforced("chat")], &pod("chat")).await;

    let client = cluster.client();
    let stored = create(&client, &namespace, "pods", &pod("chat"))
        .await
        .unwrap();
    assert_eq!(stored["spec"]["initContainers"][0]["name"], "bulkhead");

    // The namespace is as strict as it says.
    let mut root = pod("other");
    root["metadata"]["name"] = "root".into();
    root["spec"]["securityContext"] = serde_json::json!({});
    let refused = create(&client, &namespace, "pods", &root)
        .await
        .unwrap_err();
    assert!(refused.contains("violates PodSecurity"), "{refused}");
}
