//! A sidecar in a pod takes its policy from the operator's snapshots, and outlives a bad one, restarts included.

use bulkhead_tests::pod::Pod;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::{APP_ROLE, PASSWORD};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

async fn pod(policy: Policy) -> Pod {
    Stage::with(policy).start_in_a_pod().await
}

async fn until_in_force(pod: &Pod, revision: &str) {
    wait::until("the revision to be in force", || async {
        pod.stage.sidecar.revision()["revision"] == revision
    })
    .await;
}

/// Waits until the last rejection says `text`.
async fn until_rejected(pod: &Pod, text: &str) {
    wait::until("the rejection to be told", || async {
        pod.stage.sidecar.revision()["rejection"]
            .to_string()
            .contains(text)
    })
    .await;
}

/// A snapshot whose content is not what its revision was made of.
fn edited(pod: &Pod) -> String {
    let (text, _) = pod.policy().snapshot();
    let edited = text.replace("\"mode\": \"Enforce\"", "\"mode\": \"Audit\"");
    assert_ne!(edited, text);
    edited
}

#[tokio::test]
async fn the_revision_in_force_is_the_snapshots_and_every_command_works_with_it() {
    let pod = pod(Policy::trusted()).await;
    let (_, revision) = pod.policy().snapshot();
    let told = pod.stage.sidecar.revision();
    assert_eq!(told["revision"], revision);
    assert_eq!(told["wireVersions"], serde_json::json!([1]));
    assert!(told["rejection"].is_null());

    let alice = pod.stage.user("alice").await;
    alice.run("SELECT 1").await;
    let said = |arguments: &[&str]| {
        let output = pod.stage.sidecar.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(said(&["users"]).contains("alice"));
    assert!(said(&["policy"]).contains(&revision));
    let published = pod.published.path().to_str().unwrap();
    let secrets = pod.published.path().with_file_name("secrets");
    let check = said(&[
        "check",
        "--snapshot",
        published,
        "--secrets",
        secrets.to_str().unwrap(),
    ]);
    assert!(check.contains(&revision), "{check}");
    said(&["drain"]);
    // A pod that ends has its databases to the end.
    pod.stage.user("bob").await.run("SELECT 1").await;
    pod.stage.sidecar.until_unready().await;
}

#[tokio::test]
async fn a_new_snapshot_holds_for_the_next_statement_of_a_connected_client() {
    let pod = pod(Policy::trusted()).await;
    let alice = pod.stage.user("alice").await;
    alice.run("SELECT pg_sleep(0.3)").await;
    let revision = pod.publish(&pod.policy().timeouts("statement: 200ms"));
    until_in_force(&pod, &revision).await;
    wait::until("the new timeout to hold", || async {
        let outcome = alice.simple_query("SELECT pg_sleep(0.6)").await;
        outcome.is_err()
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_that_was_edited_is_refused_and_the_last_good_one_stays() {
    let pod = pod(Policy::trusted()).await;
    let (_, good) = pod.policy().snapshot();
    pod.published.publish([("v1.json", edited(&pod).as_str())]);
    until_rejected(&pod, "RevisionMismatch").await;
    assert_eq!(pod.stage.sidecar.revision()["revision"], good);
    // Enforce is still enforced: a client who is nobody is refused.
    assert_eq!(pod.stage.first_refusal(APP_ROLE).await.code, "28000");
    let revision = pod.publish(&pod.policy().timeouts("statement: 9s"));
    until_in_force(&pod, &revision).await;
    assert!(pod.stage.sidecar.revision()["rejection"].is_null());
}

#[tokio::test]
async fn a_version_that_is_not_known_is_left_to_those_who_know_it() {
    let pod = pod(Policy::trusted()).await;
    let (text, revision) = pod.policy().timeouts("statement: 9s").snapshot();
    pod.published
        .publish([("v1.json", text.as_str()), ("v2.json", "{\"version\": 2}")]);
    until_in_force(&pod, &revision).await;
    pod.published.publish([("v2.json", "{\"version\": 2}")]);
    until_rejected(&pod, "v2.json").await;
    assert_eq!(pod.stage.sidecar.revision()["revision"], revision);
}

#[tokio::test]
async fn a_restart_with_a_broken_mount_goes_on_with_what_was_accepted_last() {
    let mut pod = pod(Policy::trusted()).await;
    // Given that it has taken over another policy than the one that it began with
    let accepted = pod.publish(&pod.policy().timeouts("statement: 300ms"));
    until_in_force(&pod, &accepted).await;

    for (files, why) in [
        (vec![("v1.json", edited(&pod))], "RevisionMismatch"),
        (vec![], "NoSnapshot"),
    ] {
        let files = files.iter().map(|(name, text)| (*name, text.as_str()));
        pod.published.publish(files);
        // When the container starts again
        pod.restart();
        // Then that policy is in force, and what is wrong with the mount is told
        let told = pod.stage.sidecar.revision();
        assert_eq!(told["revision"], accepted, "{why}");
        assert_eq!(told["rejection"]["diagnostics"][0]["reason"], why);
        assert_eq!(
            pod.stage
                .sidecar
                .metric("bulkhead_policy_rejections_total", &[]),
            1.0
        );
        let log = pod.stage.sidecar.log.text();
        assert!(log.contains("the copy of the last accepted one"), "{log}");
        let alice = pod.stage.user("alice").await;
        assert_eq!(alice.refused("SELECT pg_sleep(2)").await.code, "57014");
    }

    // And a good snapshot is taken over as ever
    let mended = pod.publish(&pod.policy().timeouts("statement: 9s"));
    until_in_force(&pod, &mended).await;
    assert!(pod.stage.sidecar.revision()["rejection"].is_null());
}

#[tokio::test]
async fn a_restart_that_finds_a_snapshot_whose_secret_is_missing_goes_on_too() {
    let mut pod = pod(Policy::trusted()).await;
    let (_, accepted) = pod.policy().snapshot();
    let elsewhere = pod
        .policy()
        .database("upstream: {credentialsSecretRef: {name: later}}");
    let wanted = pod.publish(&elsewhere);
    until_rejected(&pod, "later/username").await;
    pod.restart();
    let told = pod.stage.sidecar.revision();
    assert_eq!(told["revision"], accepted);
    assert!(told["rejection"].to_string().contains("later/username"));
    pod.stage.user("alice").await.run("SELECT 1").await;
    // The Secret comes, and its policy with it.
    pod.write_secret("later/password", PASSWORD);
    pod.write_secret("later/username", APP_ROLE);
    until_in_force(&pod, &wanted).await;
}

#[tokio::test]
async fn a_first_start_that_finds_nothing_says_what_is_missing() {
    let mut pod = pod(Policy::trusted()).await;
    std::fs::remove_file(pod.accepted()).unwrap();
    pod.published.publish([]);
    let said = pod.try_restart().unwrap_err();
    assert!(said.contains("holds no snapshot (v1.json)"), "{said}");
    assert!(said.contains("ConfigMap"), "{said}");
}

#[tokio::test]
async fn who_named_a_user_is_counted_for_the_compliance_ratio() {
    let pod = pod(Policy::trusted().spec("mode: Audit")).await;
    let counted = || {
        let told = pod.stage.sidecar.revision();
        (told["attributed"].clone(), told["total"].clone())
    };
    assert_eq!(counted(), (0.into(), 0.into()));
    let listener = || pod.stage.sidecar.revision()["listeners"][0].clone();
    assert_eq!(listener()["name"], "main");
    assert_eq!(listener()["open"], 0);

    let alice = pod.stage.user("alice").await;
    alice.run("SELECT 1").await;
    let nobody = pod.stage.try_name(APP_ROLE).await.unwrap();
    nobody.run("SELECT 1").await;
    assert_eq!(counted(), (1.into(), 2.into()));
    assert_eq!(listener()["open"], 2);
    assert_eq!(listener()["quietSeconds"], 0);
    // Nobody's name is told there.
    assert!(!pod.stage.sidecar.revision().to_string().contains("alice"));
    drop((alice, nobody));
    wait::until("a second of quiet", || async {
        listener()["quietSeconds"].as_u64() >= Some(1)
    })
    .await;
}
