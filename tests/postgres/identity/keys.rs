//! The keys that a token is verified by, while they change.

use bulkhead_tests::listeners::Documents;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tokens::{Signer, key_set};
use bulkhead_tests::wait;
use jsonwebtoken::Algorithm;

use super::{jwt_stage, refused, seen, with_token};

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_an_unknown_one_turns_up_but_not_for_every_forgery() {
    let old = Signer::new("old", Algorithm::ES256);
    let new = Signer::new("new", Algorithm::ES256);
    let documents = Documents::serve(key_set(&[&old])).await;
    let stage = Stage::start(Policy::jwt(&format!(
        "{{audiences: [chat], jwks: {{uri: '{}'}}}}",
        documents.uri()
    )))
    .await;

    // Given a key set that has been fetched,
    for user in ["alice", "bob", "carol"] {
        let session = stage
            .try_options(&with_token(&old.token(user)))
            .await
            .unwrap();
        assert_eq!(seen(&session).await.as_deref(), Some(user));
    }
    let fetched = documents.requests();
    assert!(fetched <= 2, "fetched {fetched} times for one key");

    // when many tokens name keys that do not exist, the document is not fetched for each of them,
    for number in 0..20 {
        let stranger = Signer::new(&format!("stranger-{number}"), Algorithm::EdDSA);
        let refusal = refused(
            stage
                .try_options(&with_token(&stranger.token("mallory")))
                .await,
        );
        assert_eq!(refusal.code, "28000");
    }
    let fetched = documents.requests();
    assert!(fetched <= 4, "fetched {fetched} times for forgeries");

    // and when the keys have rotated, the new one is found, as soon as the rate limit lets it be.
    documents.replace(key_set(&[&old, &new]));
    let mut attempts = 0;
    let patience = std::time::Duration::from_secs(35);
    let start = std::time::Instant::now();
    while stage
        .try_options(&with_token(&new.token("alice")))
        .await
        .is_err()
    {
        attempts += 1;
        assert!(
            start.elapsed() < patience,
            "the new key is unknown after {attempts} attempts"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn rotated_keys_of_a_secret_are_taken_over_live() {
    let old = Signer::new("old", Algorithm::EdDSA);
    let new = Signer::new("new", Algorithm::EdDSA);
    let stage = jwt_stage(&[&old], "").start().await;
    let session = stage
        .try_options(&with_token(&old.token("alice")))
        .await
        .unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("alice"));

    stage
        .sidecar
        .write_secret("keys/jwks.json", &key_set(&[&new]));

    wait::until("the new key to be believed", || async {
        stage
            .try_options(&with_token(&new.token("alice")))
            .await
            .is_ok()
    })
    .await;
    assert_eq!(
        refused(stage.try_options(&with_token(&old.token("alice"))).await).code,
        "28000"
    );
}
