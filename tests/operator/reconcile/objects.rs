//! What the leader writes, and that it writes nothing else.

use bulkhead_crds::names::objects::{OWNED, POLICY};
use bulkhead_tests::wait;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::world::{CLUSTER, PATIENCE, Scene, spec};

#[tokio::test]
async fn what_is_published_is_marked_and_copies_nothing_of_the_policy() {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(json!({}))).await;
    let patch = json!({"metadata": {"labels": {"argocd.argoproj.io/instance": "x"}, "annotations": {"theirs": "y"}}});
    scene
        .policies()
        .patch("chat", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    scene.until("chat", "Accepted", "Accepted").await;
    let published = scene.snapshot("chat", |_| true).await;
    assert_eq!(published.policy().cluster.as_deref(), Some(CLUSTER));
    let template = scene.templates().get("chat").await.unwrap();
    let snapshot = scene.maps().get("bulkhead-chat").await.unwrap();
    for (labels, annotations, owners) in [
        (
            template.labels(),
            template.annotations(),
            template.owner_references(),
        ),
        (
            snapshot.labels(),
            snapshot.annotations(),
            snapshot.owner_references(),
        ),
    ] {
        assert_eq!(labels.len(), 1, "{labels:?}");
        assert_eq!(labels[OWNED], "true");
        assert_eq!(annotations[POLICY], "chat");
        assert!(!annotations.contains_key("theirs"));
        assert!(
            owners.is_empty(),
            "a pod must find its snapshot when the policy has gone"
        );
    }
}

#[tokio::test]
async fn nothing_is_written_where_nothing_has_changed() {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(json!({}))).await;
    scene.until("chat", "Programmed", "NoPods").await;
    let versions = || async {
        (
            scene
                .policies()
                .get("chat")
                .await
                .unwrap()
                .resource_version(),
            scene
                .templates()
                .get("chat")
                .await
                .unwrap()
                .resource_version(),
            scene
                .maps()
                .get("bulkhead-chat")
                .await
                .unwrap()
                .resource_version(),
        )
    };
    let passes = || {
        let of = |outcome| {
            scene.world.operator.metric(
                "bulkhead_operator_reconciles_total",
                &[("outcome", outcome)],
            )
        };
        of("unchanged")
    };
    // A pod that the policy does not select is a reason to look, and none to write.
    let before = (versions().await, passes());
    scene.pod("bystander", json!({"app": "other"}), None).await;
    wait::until_within(PATIENCE, "a pass that changes nothing", || {
        let passed = passes() > before.1;
        async move { passed }
    })
    .await;
    assert_eq!(versions().await, before.0);
}

#[tokio::test]
async fn a_policy_that_goes_takes_its_objects_with_it_and_holds_no_namespace_up() {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(json!({}))).await;
    scene.until("chat", "Accepted", "Accepted").await;
    let policy = scene.policies().get("chat").await.unwrap();
    assert!(policy.finalizers().is_empty());
    scene.delete("chat").await;
    wait::until_within(PATIENCE, "its objects to go", || async {
        let template = scene.templates().get_opt("chat").await.unwrap();
        let snapshot = scene.maps().get_opt("bulkhead-chat").await.unwrap();
        template.is_none() && snapshot.is_none()
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_comes_back_at_once_is_in_force_again() {
    let scene = Scene::enabled().await;
    for _ in 0..5 {
        scene.apply("chat", spec(json!({}))).await;
        scene.until("chat", "Accepted", "Accepted").await;
        scene.snapshot("chat", |_| true).await;
        scene.delete("chat").await;
    }
}

#[tokio::test]
async fn a_snapshot_stays_for_the_pods_that_mount_it() {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(json!({}))).await;
    scene.until("chat", "Accepted", "Accepted").await;
    let pod = scene.pod("web", json!({"app": "web"}), None).await;
    assert!(pod.annotations()["bulkhead.dev/injected"].starts_with("chat@"));
    scene.until("chat", "Programmed", "Syncing").await;
    scene.delete("chat").await;
    wait::until_within(PATIENCE, "the template to go", || async {
        scene.templates().get_opt("chat").await.unwrap().is_none()
    })
    .await;
    assert!(
        scene
            .maps()
            .get_opt("bulkhead-chat")
            .await
            .unwrap()
            .is_some()
    );
    scene.remove_pod("web").await;
    wait::until_within(PATIENCE, "the snapshot to go", || async {
        scene
            .maps()
            .get_opt("bulkhead-chat")
            .await
            .unwrap()
            .is_none()
    })
    .await;
}
