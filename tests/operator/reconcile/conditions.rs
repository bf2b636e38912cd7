//! What a policy's status says, and that it says it truly.

use bulkhead_crds::names::objects::{ENABLED, ENVIRONMENT, INJECTION};
use bulkhead_tests::wait;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::world::{PATIENCE, Scene, holds, spec};

#[tokio::test]
async fn a_sound_policy_is_accepted_for_the_environment_of_its_namespace() {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(json!({}))).await;
    let accepted = scene.until("chat", "Accepted", "Accepted").await;
    assert!(holds(&accepted));
    let programmed = scene.until("chat", "Programmed", "NoPods").await;
    assert!(holds(&programmed), "nothing lacks it");
    let policy = scene.policies().get("chat").await.unwrap();
    let status = policy.status.unwrap();
    assert_eq!(status.environment.as_deref(), Some("staging"));
    assert_eq!(status.observed_generation, policy.metadata.generation);
}

#[tokio::test]
async fn a_policy_has_an_effect_only_while_its_namespace_is_enabled() {
    let scene = Scene::labelled(&[]).await;
    scene.apply("chat", spec(json!({}))).await;
    let refused = scene.until("chat", "Accepted", "NamespaceNotEnabled").await;
    assert!(!holds(&refused));
    let command = format!(
        "kubectl label namespace {} {INJECTION}={ENABLED}",
        scene.namespace
    );
    assert!(refused.message.contains(&command), "{}", refused.message);
    assert!(scene.templates().get_opt("chat").await.unwrap().is_none());

    scene.label(INJECTION, Some(ENABLED)).await;
    scene.until("chat", "Accepted", "Accepted").await;
    assert!(scene.templates().get_opt("chat").await.unwrap().is_some());

    scene.label(INJECTION, None).await;
    scene.until("chat", "Accepted", "NamespaceNotEnabled").await;
    wait::until_within(PATIENCE, "the policy's objects to go", || async {
        let template = scene.templates().get_opt("chat").await.unwrap();
        let snapshot = scene.maps().get_opt("bulkhead-chat").await.unwrap();
        template.is_none() && snapshot.is_none()
    })
    .await;
}

#[tokio::test]
async fn another_environment_resolves_the_policy_anew_at_once() {
    let scene = Scene::enabled().await;
    let mut written = spec(json!({}));
    written["environments"] = json!([{"name": "production", "databases": [{"name": "main", "timeouts": {"statement": "7s"}}]}]);
    scene.apply("chat", written).await;
    let statement = |snapshot: &bulkhead_crds::wire::Snapshot| {
        snapshot.policy().databases[0].timeouts.statement
    };
    let before = scene.snapshot("chat", |_| true).await;
    scene.label(ENVIRONMENT, Some("production")).await;
    let seven = Some(std::time::Duration::from_secs(7));
    let after = scene
        .snapshot("chat", |found| statement(found) == seven)
        .await;
    assert_ne!(before.revision(), after.revision());
    let status = wait_for_environment(&scene, "production").await;
    assert_eq!(status, "production");
}

async fn wait_for_environment(scene: &Scene, name: &str) -> String {
    let read = || async {
        let policy = scene.policies().get("chat").await.unwrap();
        policy.status.and_then(|status| status.environment)
    };
    wait::until_within(PATIENCE, "the environment in the status", || async {
        read().await.as_deref() == Some(name)
    })
    .await;
    read().await.unwrap()
}

#[tokio::test]
async fn of_two_equal_selectors_the_older_policy_wins_until_it_goes() {
    let scene = Scene::enabled().await;
    scene.apply("older", spec(json!({}))).await;
    scene.until("older", "Accepted", "Accepted").await;
    // Ages are told apart by the second, and by the name within one.
    scene.apply("younger", spec(json!({}))).await;
    let lost = scene.until("younger", "Accepted", "Conflicted").await;
    assert!(lost.message.contains("older"), "{}", lost.message);
    assert!(
        scene
            .templates()
            .get_opt("younger")
            .await
            .unwrap()
            .is_none()
    );
    scene.delete("older").await;
    scene.until("younger", "Accepted", "Accepted").await;
    assert!(
        scene
            .templates()
            .get_opt("younger")
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_secret_has_to_be_there_and_to_allow_the_policy() {
    let scene = Scene::enabled().await;
    scene
        .apply(
            "chat",
            spec(json!({"upstream": {"credentialsSecretRef": {"name": "db"}}})),
        )
        .await;
    scene.until("chat", "Accepted", "SecretMissing").await;

    let secrets = Api::<Secret>::namespaced(scene.client.clone(), &scene.namespace);
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "db"}, "stringData": {"username": "u", "password": "p"}}))
    .unwrap();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let refused = scene.until("chat", "Accepted", "SecretNotAllowed").await;
    assert!(
        refused.message.contains("kubectl annotate secret db"),
        "{}",
        refused.message
    );

    for (allows, reason) in [("another", "SecretNotAllowed"), ("chat", "Accepted")] {
        let allow = json!({"metadata": {"annotations": {"bulkhead.dev/allow-policy": allows}}});
        secrets
            .patch("db", &PatchParams::default(), &Patch::Merge(&allow))
            .await
            .unwrap();
        scene.until("chat", "Accepted", reason).await;
    }
}

#[tokio::test]
async fn an_edit_that_is_refused_leaves_the_last_good_policy_in_force() {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(json!({}))).await;
    let good = scene.snapshot("chat", |_| true).await;
    scene.until("chat", "Accepted", "Accepted").await;
    scene
        .apply(
            "chat",
            spec(json!({"upstream": {"host": "169.254.169.254"}})),
        )
        .await;
    let refused = scene.until("chat", "Accepted", "UpstreamNotAllowed").await;
    assert!(
        refused
            .message
            .contains("spec.databases[main].upstream.host"),
        "{}",
        refused.message
    );
    let programmed = scene.until("chat", "Programmed", "NotAccepted").await;
    assert!(
        programmed.message.contains(good.revision()),
        "{}",
        programmed.message
    );
    let still = scene.snapshot("chat", |_| true).await;
    assert_eq!(still.revision(), good.revision());
    assert!(scene.templates().get_opt("chat").await.unwrap().is_some());
}

#[tokio::test]
async fn a_person_is_told_once() {
    let scene = Scene::enabled().await;
    scene
        .apply(
            "chat",
            spec(json!({"upstream": {"credentialsSecretRef": {"name": "nowhere"}}})),
        )
        .await;
    scene.until("chat", "Accepted", "SecretMissing").await;
    let events = Api::<k8s_openapi::api::events::v1::Event>::namespaced(
        scene.client.clone(),
        &scene.namespace,
    );
    let told = || async {
        let all = events
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        let of = |event: &&k8s_openapi::api::events::v1::Event| {
            event.reason.as_deref() == Some("SecretMissing")
        };
        all.items.iter().filter(of).count()
    };
    wait::until_within(PATIENCE, "the event", || async { told().await == 1 }).await;
    // Another edit of a policy that is still refused for the same reason is no news.
    scene
        .apply(
            "chat",
            spec(json!({"upstream": {"credentialsSecretRef": {"name": "elsewhere"}}})),
        )
        .await;
    wait::until_within(PATIENCE, "the new message", || async {
        let found = scene.condition("chat", "Accepted").await.unwrap();
        found.message.contains("elsewhere")
    })
    .await;
    assert_eq!(told().await, 1);
}
