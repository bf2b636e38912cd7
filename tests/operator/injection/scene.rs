//! A control plane in which the operator's admission policies are in force, and how to send it pods.

use bulkhead_operator::build::admission::{guard, inject, owned};
use bulkhead_tests::cluster::{Cluster, ControlPlane};
use bulkhead_tests::operator::{NAMESPACE, READY, prepare};
use bulkhead_tests::wait;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::templates::{enforced, pod};

/// Who the operator is to the API server.
pub const OPERATOR: &str = "system:serviceaccount:bulkhead-system:bulkhead-operator";

/// The control plane of this suite's tests: who stops its API server or changes its definitions has one of their own.
pub async fn shared() -> &'static ControlPlane {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let cluster = ControlPlane::start().await;
            install(&cluster).await;
            cluster
        })
        .await
}

/// Installs the definitions and the policies, and waits until the API server has taken them up.
pub async fn install(cluster: &ControlPlane) {
    let excluded = excluded();
    let mut policies = vec![inject::policy(&excluded), inject::binding(&excluded)];
    policies.extend(guards());
    install_these(cluster, policies).await;
    // A guard that does not know its parameters yet refuses every pod of the namespaces in which policies have an effect.
    let namespace = enabled(cluster, &[]).await;
    in_force(cluster, &namespace, &[enforced("warm")], &pod("warm")).await;
}

/// Installs what an older API server knows too, and injects nothing.
pub async fn install_guards(cluster: &ControlPlane) {
    install_these(cluster, guards()).await;
}

fn excluded() -> [String; 2] {
    [NAMESPACE, "kube-system"].map(str::to_owned)
}

fn guards() -> Vec<Value> {
    let excluded = excluded();
    vec![
        guard::policy(&excluded),
        guard::binding(&excluded),
        owned::policy(OPERATOR, &excluded),
        owned::binding(&excluded),
    ]
}

async fn install_these(cluster: &ControlPlane, policies: Vec<Value>) {
    prepare(cluster).await;
    let policies = json!({"apiVersion": "v1", "kind": "List", "items": policies});
    let apply = ["apply", "--server-side", "-f", "-"];
    cluster
        .kubectl_with(&apply, &policies.to_string())
        .await
        .check();
    let client = cluster.client();
    let marked = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "marked", "labels": {"bulkhead.dev/owned": "true"}}});
    wait::until_within(READY, "the policies to be taken up", || async {
        let refused = dry_run(&client, "default", "configmaps", &marked).await;
        refused.is_err_and(|error| error.contains("bulkhead-owned"))
    })
    .await;
}

/// Waits until an operator that leads has looked for what one before it left behind: it would take templates without a policy away.
pub async fn left_alone(cluster: &Cluster) {
    wait::until_within(READY, "an operator that has looked around", || async {
        let asked = cluster.audit_events();
        asked.iter().any(|asked| {
            let is_list = asked.verb == "list" && asked.resource == "configmaps";
            is_list && asked.namespace.is_empty() && asked.status == 200
        })
    })
    .await;
}

/// A namespace in which policies have an effect, with more labels.
pub async fn enabled(cluster: &Cluster, labels: &[(&str, &str)]) -> String {
    let mut all = vec![("bulkhead.dev/injection", "enabled")];
    all.extend(labels);
    cluster.namespace(&all).await
}

/// A client that is the operator, with all rights.
pub fn operator(cluster: &Cluster) -> Client {
    cluster.client_as(OPERATOR, &["system:masters"])
}

/// Writes templates as the operator, and waits until the API server injects from each and guards by it.
///
/// `probe` must be a pod that the last of them selects.
pub async fn in_force(cluster: &Cluster, namespace: &str, templates: &[Value], probe: &Value) {
    written(cluster, &operator(cluster), namespace, templates, probe).await;
}

/// The same, by another client that may.
pub async fn written(
    cluster: &Cluster,
    writer: &Client,
    namespace: &str,
    templates: &[Value],
    probe: &Value,
) {
    for template in templates {
        create(writer, namespace, "injectiontemplates", template)
            .await
            .unwrap();
    }
    let spec = &templates.last().unwrap()["spec"];
    let revision = format!(
        "{}@{}",
        spec["policy"].as_str().unwrap(),
        spec["hash"].as_str().unwrap()
    );
    let client = cluster.client();
    wait::until_within(READY, "pods to be injected", || async {
        let made = dry_run(&client, namespace, "pods", probe).await;
        made.is_ok_and(|pod| pod["metadata"]["annotations"]["bulkhead.dev/injected"] == revision)
    })
    .await;
    if spec["enforce"] == true {
        let mut taken = probe.clone();
        taken["spec"]["containers"][0]["name"] = json!("bulkhead");
        wait::until_within(READY, "pods to be guarded", || async {
            let made = dry_run(&client, namespace, "pods", &taken).await;
            made.is_err_and(|error| error.contains("bulkhead-guard"))
        })
        .await;
    }
}

/// Creates an object of `resource`, which is one of the few that these tests send.
pub async fn create(
    client: &Client,
    namespace: &str,
    resource: &str,
    object: &Value,
) -> Result<Value, String> {
    ask(client, "POST", &collection(namespace, resource), object).await
}

/// Has the API server do all but store it.
pub async fn dry_run(
    client: &Client,
    namespace: &str,
    resource: &str,
    object: &Value,
) -> Result<Value, String> {
    let path = format!("{}?dryRun=All", collection(namespace, resource));
    ask(client, "POST", &path, object).await
}

/// Replaces an object, or a part of it such as `/ephemeralcontainers`.
pub async fn replace(
    client: &Client,
    namespace: &str,
    resource: &str,
    part: &str,
    object: &Value,
) -> Result<Value, String> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let path = format!("{}/{name}{part}", collection(namespace, resource));
    ask(client, "PUT", &path, object).await
}

/// Deletes an object.
pub async fn delete(
    client: &Client,
    namespace: &str,
    resource: &str,
    name: &str,
) -> Result<Value, String> {
    let path = format!("{}/{name}", collection(namespace, resource));
    ask(
        client,
        "DELETE",
        &path,
        &json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}),
    )
    .await
}

fn collection(namespace: &str, resource: &str) -> String {
    let group = match resource {
        "injectiontemplates" => "apis/bulkhead.dev/v1alpha1",
        "networkpolicies" => "apis/networking.k8s.io/v1",
        _ => "api/v1",
    };
    format!("/{group}/namespaces/{namespace}/{resource}")
}

/// The JSON as it is: a typed client would drop what its types do not know.
async fn ask(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    client
        .request(request)
        .await
        .map_err(|error| error.to_string())
}
