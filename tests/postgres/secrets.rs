//! The secrets that a policy refers to: missing, vanished, unusable, and back.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

/// What `/revision` says.
fn revision(stage: &Stage) -> serde_json::Value {
    let (_, body) = stage.sidecar.get("/revision").unwrap();
    serde_json::from_str(&body).unwrap()
}

/// Waits until the last rejection says `text`.
async fn until_rejected(stage: &Stage, text: &str) {
    wait::until("the rejection to be told", || async {
        revision(stage)["rejection"].to_string().contains(text)
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_names_missing_credentials_leaves_the_last_good_one_in_force() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    let before = revision(&stage)["revision"].clone();
    let elsewhere = stage
        .sidecar
        .policy()
        .clone()
        .database("upstream: {credentialsSecretRef: {name: nosuch}}");
    stage.sidecar.write_policy(&elsewhere.text());
    until_rejected(&stage, "nosuch/username").await;
    assert_eq!(revision(&stage)["revision"], before);
    // Who is connected works on, and others may come.
    alice.run("SELECT 1").await;
    stage.user("bob").await.run("SELECT 1").await;

    // The policy is tried again when its secret comes.
    for (key, text) in [("password", "wrong"), ("username", APP_ROLE)] {
        let folder = stage.sidecar.secrets().join("nosuch");
        std::fs::create_dir_all(&folder).unwrap();
        stage.sidecar.write_secret(&format!("nosuch/{key}"), text);
    }
    wait::until("the policy to be taken over", || async {
        revision(&stage)["revision"] != before
    })
    .await;
    assert!(revision(&stage)["rejection"].is_null());
}

#[tokio::test]
async fn credentials_that_vanish_are_told_and_break_nothing_that_is_open() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    let password = stage.sidecar.secrets().join("db/password");
    let text = std::fs::read_to_string(&password).unwrap();
    std::fs::remove_file(&password).unwrap();
    until_rejected(&stage, "db/password").await;
    assert_eq!(revision(&stage)["number"], 1);
    alice.run("SELECT 1").await;
    stage.sidecar.write_secret("db/password", &text);
    wait::until("the rejection to be forgotten", || async {
        revision(&stage)["rejection"].is_null()
    })
    .await;
    stage.user("bob").await.run("SELECT 1").await;
}
