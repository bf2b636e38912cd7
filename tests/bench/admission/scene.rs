//! What stands in the cluster before anything is measured.

use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::operator::READY;
use bulkhead_tests::tools::Said;
use bulkhead_tests::wait;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::pods;

const POLICY: &str = include_str!("../../../examples/chat/kubernetes/policy.yaml");

/// Makes a namespace in which policies have an effect, with a Secret that every policy may use.
pub async fn namespace(plane: &ControlPlane) -> String {
    let labels = [
        ("bulkhead.dev/injection", "enabled"),
        ("bulkhead.dev/environment", "staging"),
    ];
    let namespace = plane.namespace(&labels).await;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "chat-db", "namespace": namespace, "annotations": {"bulkhead.dev/allow-policy": "*"}},
        "stringData": {"username": "chat", "password": "unused"},
    });
    let arguments = ["apply", "-f", "-"];
    done(plane.kubectl_with(&arguments, &secret.to_string()).await);
    namespace
}

/// Removes a namespace, without waiting for its end.
pub async fn remove_namespace(plane: &ControlPlane, namespace: &str) {
    let arguments = ["delete", "namespace", "--wait=false", namespace];
    done(plane.kubectl(&arguments).await);
}

/// Applies the policy of the example, by the name `name`, for the pods of `app`.
pub async fn policy(plane: &ControlPlane, namespace: &str, name: &str, app: &str) {
    let mut policy: Value = serde_yaml::from_str(POLICY).expect("the example");
    policy["metadata"] = json!({"name": name, "namespace": namespace});
    policy["spec"]["selector"]["matchLabels"]["app"] = json!(app);
    let arguments = ["apply", "-f", "-"];
    done(plane.kubectl_with(&arguments, &policy.to_string()).await);
}

/// Changes a timeout of the policy.
pub async fn edit(client: &Client, namespace: &str, name: &str, seconds: usize) {
    let policies = policies(client, namespace);
    let mut spec = policies.get(name).await.expect("the policy").data["spec"].take();
    spec["databases"][0]["timeouts"]["connect"] = json!(format!("{seconds}s"));
    let patch = Patch::Merge(json!({"spec": {"databases": spec["databases"]}}));
    policies
        .patch(name, &PatchParams::default(), &patch)
        .await
        .expect("the edit is accepted");
}

/// Waits until the policy's status tells of its newest generation.
pub async fn until_observed(client: &Client, namespace: &str, name: &str) {
    let policies = policies(client, namespace);
    wait::until_within(
        READY,
        &format!("the status of {namespace}/{name}"),
        || async {
            let policy = policies.get(name).await.expect("the policy");
            let observed = &policy.data["status"]["observedGeneration"];
            observed.as_i64().is_some() && observed.as_i64() == policy.metadata.generation
        },
    )
    .await;
}

/// Waits until a pod of `app` comes out of admission with the sidecar.
pub async fn until_injected(client: &Client, namespace: &str, app: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = pods::pod("probe", app);
    wait::until_within(READY, &format!("injection in {namespace}"), || async {
        pods::create(&api, &pod, true).await.is_ok_and(|pod| {
            let containers = pod.spec.and_then(|spec| spec.init_containers);
            containers.is_some_and(|all| all.iter().any(|one| one.name == "bulkhead"))
        })
    })
    .await;
}

/// Waits until it is the webhook that injects, and no longer the API server.
pub async fn until_webhooks_inject(client: &Client, namespace: &str, app: &str) {
    let bindings: Api<DynamicObject> = Api::all_with(
        client.clone(),
        &ApiResource::from_gvk(&GroupVersionKind::gvk(
            "admissionregistration.k8s.io",
            "v1",
            "MutatingAdmissionPolicyBinding",
        )),
    );
    wait::until_within(READY, "the end of injection by policy", || async {
        bindings
            .get_opt("bulkhead-inject")
            .await
            .expect("an answer")
            .is_none()
    })
    .await;
    until_injected(client, namespace, app).await;
}

fn policies(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("bulkhead.dev", "v1alpha1", "IsolationPolicy"),
        "isolationpolicies",
    );
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn done(said: Said) {
    assert!(said.success, "{said:?}");
}
