//! A policy that takes a port over, from its first edit to its end: the NetworkPolicy that closes the application's own port comes with it,
//! follows its edits, and goes.

use std::collections::BTreeSet;

use bulkhead_crds::names::objects::{INJECTED, TAKEN_OVER};
use bulkhead_tests::wait;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::world::{PATIENCE, Scene, merge};

/// A policy that takes `http` over from an application at port 8000, but for these changes of its only listener and of the rest.
fn spec(socket: Value, rest: Value) -> Value {
    let mut listener = json!({"name": "chat", "listen": {"port": 8080, "takesOver": "http"}, "upstream": {"port": 8000}});
    merge(&mut listener, socket);
    let mut spec =
        json!({"selector": {"matchLabels": {"app": "web"}}, "identity": {"source": "Trusted"}});
    merge(&mut spec, rest);
    spec["webSockets"] = json!([listener]);
    spec
}

/// The TCP ports that a NetworkPolicy lets nobody in at.
fn shut(policy: &NetworkPolicy) -> BTreeSet<i32> {
    let mut shut: BTreeSet<i32> = (1..=65535).collect();
    let spec = policy.spec.as_ref().unwrap();
    for port in spec.ingress.iter().flatten().flat_map(|rule| &rule.ports) {
        for range in port
            .iter()
            .filter(|it| it.protocol.as_deref() == Some("TCP"))
        {
            let Some(IntOrString::Int(first)) = range.port else {
                panic!("a port by name: {range:?}")
            };
            let last = range.end_port.unwrap_or(first);
            shut.retain(|port| !(first..=last).contains(port));
        }
    }
    shut
}

impl Scene {
    /// What the namespace's NetworkPolicies shut, one set each, in order.
    async fn shut(&self) -> BTreeSet<BTreeSet<i32>> {
        let api = Api::<NetworkPolicy>::namespaced(self.client.clone(), &self.namespace);
        let list = api.list(&ListParams::default()).await.unwrap();
        list.items.iter().map(shut).collect()
    }

    /// Waits until each of these ports is shut by a NetworkPolicy of its own, and nothing else is.
    async fn until_shut(&self, why: &str, ports: &[i32]) {
        let expected: BTreeSet<BTreeSet<i32>> =
            ports.iter().map(|port| BTreeSet::from([*port])).collect();
        let what = format!("{why}: exactly {ports:?} to be shut");
        wait::until_within(PATIENCE, &what, || async { self.shut().await == expected }).await;
    }

    /// Creates a pod of the policy whose application has `http`, once the API server injects it.
    async fn injected_pod(&self, name: &str) -> Pod {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "example.test/app:1", "ports": [{"name": "http", "containerPort": 8000}]}]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let trial = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        wait::until_within(PATIENCE, "a pod to be injected", || async {
            let made = self.pods().create(&trial, &pod).await;
            made.is_ok_and(|made| made.annotations().contains_key(INJECTED))
        })
        .await;
        self.pods()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn the_applications_own_port_is_shut_for_as_long_as_a_policy_wants_it() {
    // Given a policy that takes a port over.
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(json!({}), json!({}))).await;
    scene.until_shut("taken over", &[8000]).await;

    // Then it is over the pods that the API server injects, and over no other.
    let pod = scene.injected_pod("web").await;
    let api = Api::<NetworkPolicy>::namespaced(scene.client.clone(), &scene.namespace);
    let made = &api.list(&ListParams::default()).await.unwrap().items[0];
    let selector = made.spec.as_ref().unwrap().pod_selector.as_ref();
    let over = selector.unwrap().match_labels.as_ref().unwrap();
    assert_eq!(over.len(), 1);
    assert_eq!(pod.labels().get(TAKEN_OVER), over.get(TAKEN_OVER));

    // When the application moves, then its old port stays shut for the pod that has it, and for no longer.
    let moved = |rest| spec(json!({"upstream": {"port": 8001}}), rest);
    scene.apply("chat", moved(json!({}))).await;
    scene.until_shut("moved", &[8000, 8001]).await;
    scene.remove_pod("web").await;
    scene.until_shut("the old pod has gone", &[8001]).await;

    // Whatever does not want it shut any more opens it.
    let mut untaken = moved(json!({}));
    untaken["webSockets"][0]["listen"] = json!({"port": 8080});
    for (why, changed) in [
        (
            "injection.networkPolicy None",
            moved(json!({"injection": {"networkPolicy": "None"}})),
        ),
        ("mode Audit", moved(json!({"mode": "Audit"}))),
        ("no takesOver", untaken),
    ] {
        scene.apply("chat", changed).await;
        scene.until_shut(why, &[]).await;
        scene.apply("chat", moved(json!({}))).await;
        scene.until_shut("again", &[8001]).await;
    }

    // Its end is the NetworkPolicy's.
    scene.delete("chat").await;
    scene.until_shut("deleted", &[]).await;
}
