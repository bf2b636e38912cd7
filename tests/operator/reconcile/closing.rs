//! NetworkPolicies that close what is taken over: as the API server takes them, and for as long as a pod needs them.

use bulkhead_crds::names::objects::{OWNED, POLICY, TAKEN_OVER};
use bulkhead_operator::build::{Serves, network_policy};
use bulkhead_operator::index::{Change, Index, Step};
use bulkhead_operator::reconcile::closing::{Plan, Wish, plan};
use bulkhead_operator::reconcile::publish::close;
use bulkhead_tests::wait;
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::world::{PATIENCE, Scene};

impl Scene {
    fn network_policies(&self) -> Api<NetworkPolicy> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The namespace's NetworkPolicies, as the operator knows them.
    async fn known(&self) -> Index {
        let mut index = Index::default();
        let list = self.network_policies().list(&ListParams::default()).await;
        for policy in list.unwrap() {
            let step = Step::Applied(policy.name_any(), policy);
            index.take(Change::NetworkPolicy(Box::new(step)));
        }
        index
    }
}

/// What a policy with this mode comes to that takes `http` over.
fn rendered(namespace: &str, mode: &str) -> Option<NetworkPolicy> {
    let text = json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "mode": mode, "identity": {"source": "Trusted"},
            "webSockets": [{"name": "chat", "listen": {"port": 8080, "takesOver": "http"}, "upstream": {"port": 8000}}]}});
    let policy = bulkhead_crds::load(&text.to_string()).unwrap();
    let effective = bulkhead_crds::resolve(&policy, "staging").unwrap();
    let serves = Serves {
        web_sockets: true,
        ..Serves::THIS_RELEASE
    };
    network_policy(&effective, serves)
}

fn closed(namespace: &str) -> Wish<'static> {
    Wish::Closed {
        current: rendered(namespace, "Enforce"),
        pods: Vec::new(),
    }
}

#[tokio::test]
async fn the_api_server_keeps_what_is_rendered_and_nothing_is_written_twice() {
    // Where no policy has an effect, so that the test alone is at work.
    let scene = Scene::labelled(&[]).await;
    let first = plan("chat", closed(&scene.namespace), &scene.known().await);
    let made = close(&scene.client, &scene.namespace, &first)
        .await
        .unwrap();
    assert!(made.written && made.refused.is_none(), "{made:?}");
    let wanted = rendered(&scene.namespace, "Enforce").unwrap();
    let kept = scene
        .network_policies()
        .get(&wanted.name_any())
        .await
        .unwrap();
    assert_eq!(kept.spec, wanted.spec);
    let again = plan("chat", closed(&scene.namespace), &scene.known().await);
    assert_eq!(
        (&again.apply, again.delete.len(), again.stays),
        (&None, 0, true)
    );

    // Somebody else's is over the pods from now on.
    let theirs = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny"}, "spec": {"podSelector": {}}});
    let parameters = PatchParams::apply("a-person");
    scene
        .network_policies()
        .patch("default-deny", &parameters, &Patch::Apply(&theirs))
        .await
        .unwrap();
    scene
        .pod("web", json!({"app": "web", TAKEN_OVER: mark(&kept)}), None)
        .await;
    let mut index = scene.known().await;
    let pod = scene.pods().get("web").await.unwrap();
    let facts = bulkhead_operator::index::PodFacts::of(&pod);
    index.take(Change::Pod(Box::new(Step::Applied(
        "web".to_owned(),
        facts,
    ))));
    let withheld = plan("chat", closed(&scene.namespace), &index);
    assert_eq!((&withheld.apply, withheld.stays), (&None, false));
    close(&scene.client, &scene.namespace, &withheld)
        .await
        .unwrap();
    let left = scene.network_policies().get_opt(&wanted.name_any()).await;
    assert!(left.unwrap().is_none());
}

#[tokio::test]
async fn one_that_the_api_server_refuses_is_told_of_and_holds_nothing_up() {
    let scene = Scene::labelled(&[]).await;
    let hard = json!({"count/networkpolicies.networking.k8s.io": "0"});
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": hard}});
    let quotas = Api::<ResourceQuota>::namespaced(scene.client.clone(), &scene.namespace);
    let quota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    // There is no controller here to say so.
    let counted = json!({"status": {"hard": hard, "used": hard}});
    quotas
        .patch_status("none", &PatchParams::default(), &Patch::Merge(&counted))
        .await
        .unwrap();
    let wanted = Plan {
        apply: rendered(&scene.namespace, "Enforce"),
        ..Plan::default()
    };
    // The API server has to see the quota first.
    wait::until_within(PATIENCE, "the quota to be held to", || async {
        let closed = close(&scene.client, &scene.namespace, &wanted)
            .await
            .unwrap();
        let name = wanted.apply.as_ref().unwrap().name_any();
        if closed.written {
            let _ = scene
                .network_policies()
                .delete(&name, &DeleteParams::default())
                .await;
        }
        closed.refused.is_some_and(|said| said.contains("quota"))
    })
    .await;
}

fn mark(policy: &NetworkPolicy) -> Value {
    let selector = policy.spec.as_ref().unwrap().pod_selector.as_ref();
    json!(selector.unwrap().match_labels.as_ref().unwrap()[TAKEN_OVER])
}

#[tokio::test]
async fn what_a_policy_leaves_behind_stays_for_the_pods_that_bear_its_mark() {
    let scene = Scene::enabled().await;
    assert_eq!(rendered(&scene.namespace, "Audit"), None);
    let left = rendered(&scene.namespace, "Enforce").unwrap();
    assert_eq!(
        (&left.labels()[OWNED], &left.annotations()[POLICY]),
        (&"true".to_owned(), &"chat".to_owned())
    );
    let name = left.name_any();
    scene
        .pod("web", json!({"app": "web", TAKEN_OVER: mark(&left)}), None)
        .await;
    let api = scene.network_policies();
    api.create(&PostParams::default(), &left).await.unwrap();
    // Another policy has the operator look after this namespace.
    scene
        .apply("other", json!({"selector": {"matchLabels": {"app": "other"}}, "identity": {"source": "Trusted"}}))
        .await;
    scene.until("other", "Programmed", "NoPods").await;
    assert!(api.get_opt(&name).await.unwrap().is_some());
    scene.remove_pod("web").await;
    wait::until_within(PATIENCE, "it to go with the last pod", || async {
        api.get_opt(&name).await.unwrap().is_none()
    })
    .await;
}
