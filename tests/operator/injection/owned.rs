//! What the operator makes in a namespace is the operator's to change, whoever may edit the namespace.

use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::operator::READY;
use bulkhead_tests::wait;
use kube::Client;
use serde_json::{Value, json};

use super::scene::{create, delete, enabled, operator, replace, shared};
use super::templates::bare;

fn owned(kind: &str) -> Value {
    let version = if kind == "NetworkPolicy" {
        "networking.k8s.io/v1"
    } else {
        "v1"
    };
    json!({
        "apiVersion": version, "kind": kind,
        "metadata": {"name": "bulkhead-chat", "labels": {"bulkhead.dev/owned": "true"}},
    })
}

/// What the operator has made: resource, name, object.
async fn made(cluster: &ControlPlane, namespace: &str) -> Vec<(&'static str, Value)> {
    let operator = operator(cluster);
    let mut policy = owned("NetworkPolicy");
    policy["spec"] = json!({"podSelector": {}});
    let mut stored = Vec::new();
    for (resource, object) in [
        ("injectiontemplates", bare("chat")),
        ("configmaps", owned("ConfigMap")),
        ("secrets", owned("Secret")),
        ("networkpolicies", policy),
    ] {
        let object = create(&operator, namespace, resource, &object).await;
        stored.push((resource, object.unwrap()));
    }
    stored
}

/// Somebody with the role `edit`, and the right to write templates, which the chart gives to nobody.
async fn editor(cluster: &ControlPlane, namespace: &str) -> Client {
    let rights = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "templates"},
            "rules": [{"apiGroups": ["bulkhead.dev"], "resources": ["*"], "verbs": ["*"]}],
        },
        binding("Role", "templates"),
        binding("ClusterRole", "edit"),
    ]});
    let apply = ["apply", "-n", namespace, "-f", "-"];
    cluster
        .kubectl_with(&apply, &rights.to_string())
        .await
        .check();
    cluster.client_as("eve", &[])
}

fn binding(kind: &str, role: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}],
    })
}

fn is_refused(asked: Result<Value, String>) {
    let said = asked.unwrap_err();
    assert!(
        said.contains("is the operator's") && said.contains("change the IsolationPolicy"),
        "{said}"
    );
}

#[tokio::test]
async fn an_editor_changes_and_deletes_nothing_that_the_operator_owns() {
    let cluster = shared().await;
    // Also where no policy has an effect yet: what is written there would lie in wait for the label.
    for namespace in [enabled(cluster, &[]).await, cluster.namespace(&[]).await] {
        let eve = editor(cluster, &namespace).await;
        for (resource, object) in made(cluster, &namespace).await {
            let name = object["metadata"]["name"].as_str().unwrap();
            let mut changed = object.clone();
            changed["metadata"]["annotations"] = json!({"a.test/b": "c"});
            is_refused(replace(&eve, &namespace, resource, "", &changed).await);
            let mut taken = object.clone();
            taken["metadata"]["labels"] = json!({});
            is_refused(replace(&eve, &namespace, resource, "", &taken).await);
            is_refused(delete(&eve, &namespace, resource, name).await);

            // Its own it may change and delete.
            let operator = operator(cluster);
            replace(&operator, &namespace, resource, "", &changed)
                .await
                .unwrap();
            delete(&operator, &namespace, resource, name).await.unwrap();
            // And in its place nobody puts another.
            let mut another = changed;
            another["metadata"] = json!({"name": name, "labels": {"bulkhead.dev/owned": "true"}});
            is_refused(create(&eve, &namespace, resource, &another).await);
        }
    }
}

#[tokio::test]
async fn a_template_without_the_label_is_refused_too() {
    let cluster = shared().await;
    let namespace = enabled(cluster, &[]).await;
    let eve = editor(cluster, &namespace).await;
    let mut template = bare("mine");
    template["metadata"]["labels"] = json!({});
    is_refused(create(&eve, &namespace, "injectiontemplates", &template).await);
}

#[tokio::test]
async fn what_is_not_the_operators_is_no_matter_of_its() {
    let cluster = shared().await;
    let namespace = enabled(cluster, &[]).await;
    let eve = editor(cluster, &namespace).await;
    let mut map = owned("ConfigMap");
    map["metadata"]["labels"] = json!({"bulkhead.dev/owned": "false"});
    let mut stored = create(&eve, &namespace, "configmaps", &map).await.unwrap();
    stored["data"] = json!({"a": "b"});
    let mut stored = replace(&eve, &namespace, "configmaps", "", &stored)
        .await
        .unwrap();
    // It does not become the operator's by somebody's word.
    stored["metadata"]["labels"]["bulkhead.dev/owned"] = json!("true");
    is_refused(replace(&eve, &namespace, "configmaps", "", &stored).await);
    delete(&eve, &namespace, "configmaps", "bulkhead-chat")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_namespace_is_deleted_with_all_that_the_operator_owns_in_it() {
    let cluster = shared().await;
    let namespace = enabled(cluster, &[]).await;
    made(cluster, &namespace).await;
    cluster
        .kubectl(&["delete", "namespace", &namespace, "--wait=false"])
        .await
        .check();
    wait::until_within(READY, "the end of the namespace", || async {
        let got = cluster.kubectl(&["get", "namespace", &namespace]).await;
        got.errors.contains("NotFound")
    })
    .await;
}
