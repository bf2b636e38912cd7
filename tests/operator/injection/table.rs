//! Every kind of pod, one a row: the API server in CEL and the engine in Rust make the same of it, and what that is.

mod containers;
mod engines;
mod network;
mod selection;
mod sidecar;

use bulkhead_tests::cluster::ControlPlane;
use kube::Client;
use serde_json::{Value, json};

use super::scene::{self, dry_run};
use super::templates::{bare, full, pod};

/// A pod, and what should become of it.
struct Row {
    /// What is special about it.
    about: &'static str,
    /// As its owner writes it.
    pod: Value,
    /// The policy that it is injected from, if any.
    by: Option<&'static str>,
    /// What the result is held to besides.
    holds: fn(&Value),
}

impl Row {
    /// A row of a pod that is injected by the policy `by`.
    fn injected(about: &'static str, by: &'static str, pod: Value, holds: fn(&Value)) -> Self {
        Self {
            about,
            pod,
            by: Some(by),
            holds,
        }
    }

    /// A row of a pod that is left as it is.
    fn untouched(about: &'static str, pod: Value) -> Self {
        Self {
            about,
            pod,
            by: None,
            holds: |_| {},
        }
    }
}

/// The pod of `app` with a change.
fn changed(app: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = pod(app);
    change(&mut pod);
    pod
}

fn rows() -> Vec<Row> {
    [
        selection::rows(),
        sidecar::rows(),
        network::rows(),
        containers::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// All templates of the namespace, each for the rows that name its policy.
fn templates() -> Vec<Value> {
    let mut templates = selection::templates();
    templates.extend([bare("bare"), full("chat")]);
    templates
}

/// Where the rows are sent: a namespace with templates and one in which policies have no effect.
struct Table<'a> {
    cluster: &'a ControlPlane,
    namespace: String,
    elsewhere: String,
}

impl Table<'static> {
    /// Where the API server injects by itself.
    async fn laid() -> Self {
        let cluster = scene::shared().await;
        Self::laid_by(cluster, &scene::operator(cluster)).await
    }
}

impl<'a> Table<'a> {
    /// With templates that `writer` writes.
    async fn laid_by(cluster: &'a ControlPlane, writer: &Client) -> Self {
        let namespace = scene::enabled(cluster, &[]).await;
        scene::written(cluster, writer, &namespace, &templates(), &pod("chat")).await;
        Self {
            cluster,
            namespace,
            elsewhere: cluster.namespace(&[]).await,
        }
    }

    /// What the API server makes of a pod where the templates are.
    async fn by_the_api_server(&self, row: &Row, pod: &Value) -> Value {
        self.sent(&self.namespace, row, pod).await
    }

    /// What the API server stores of a pod where nobody injects.
    async fn as_it_is(&self, row: &Row, pod: &Value) -> Value {
        self.sent(&self.elsewhere, row, pod).await
    }

    async fn sent(&self, namespace: &str, row: &Row, pod: &Value) -> Value {
        let client = self.cluster.client();
        let made = dry_run(&client, namespace, "pods", pod).await;
        told_apart(made.unwrap_or_else(|error| panic!("{}: {error}", row.about)))
    }
}

/// A stored pod without what differs between two that are the same: where and when, and the places of what a service account adds.
fn told_apart(stored: Value) -> Value {
    let mut spec = stored["spec"].clone();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            sort(&mut container["volumeMounts"], "mountPath");
        }
    }
    sort(&mut spec["volumes"], "name");
    let metadata = &stored["metadata"];
    json!({
        "labels": metadata["labels"],
        "annotations": metadata["annotations"],
        "finalizers": metadata["finalizers"],
        "spec": spec,
    })
}

/// Sorts by a field, and takes the dice out of the name of a service account's volume.
fn sort(list: &mut Value, by: &str) {
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for element in list.iter_mut() {
        let is_token = element["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("kube-api-access-"));
        if is_token {
            element["name"] = json!("kube-api-access");
        }
    }
    list.sort_by_key(|element| element[by].to_string());
}

#[tokio::test]
async fn the_api_server_makes_of_each_pod_what_its_template_says() {
    let table = Table::laid().await;
    for row in rows() {
        let made = table.by_the_api_server(&row, &row.pod).await;
        match row.by {
            None => {
                let stored = table.as_it_is(&row, &row.pod).await;
                assert_eq!(made, stored, "{}: it should be left as it is", row.about);
            }
            Some(policy) => {
                assert_eq!(
                    made["annotations"]["bulkhead.dev/injected"],
                    format!("{policy}@h1"),
                    "{}: {made:#}",
                    row.about
                );
                // Whose expectation it is that does not hold.
                println!("{}", row.about);
                (row.holds)(&made);
            }
        }
    }
}

#[tokio::test]
async fn a_pod_that_was_injected_is_not_injected_again() {
    let table = Table::laid().await;
    for row in rows() {
        if row.by.is_none() {
            continue;
        }
        let client = table.cluster.client();
        let once = dry_run(&client, &table.namespace, "pods", &row.pod).await;
        let mut again = once.unwrap();
        let metadata = &again["metadata"];
        again["metadata"] = json!({"name": "pod", "labels": metadata["labels"], "annotations": metadata["annotations"]});
        let twice = table.by_the_api_server(&row, &again).await;
        assert_eq!(twice, told_apart(again), "{}", row.about);
    }
}
