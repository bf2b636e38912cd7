//! Tokens of an identity provider: who they are for, from when, until when, and whom they name.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::wait;
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{jwt_stage, refused, seen, with_token};

#[tokio::test]
async fn every_algorithm_of_a_jwt_is_verified() {
    let signers: Vec<Signer> = [
        Algorithm::HS256,
        Algorithm::HS384,
        Algorithm::HS512,
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ]
    .into_iter()
    .map(|algorithm| Signer::new(&format!("{algorithm:?}"), algorithm))
    .collect();
    let stage = jwt_stage(&signers.iter().collect::<Vec<_>>(), "")
        .start()
        .await;
    for signer in &signers {
        let user = format!("user-of-{}", signer.jwk()["kid"].as_str().unwrap());
        let login = stage.try_options(&with_token(&signer.token(&user))).await;
        let session = login.unwrap_or_else(|error| panic!("{user}: {error:?}"));
        assert_eq!(seen(&session).await, Some(user));
    }
}

#[tokio::test]
async fn a_jwt_of_the_wrong_issuer_audience_time_or_key_is_refused() {
    let signer = Signer::new("one", Algorithm::ES256);
    let unknown = Signer::new("two", Algorithm::ES256);
    let stage = jwt_stage(&[&signer], "").start().await;
    let (iss, later) = ("https://issuer.test", seconds_from_now(60));
    for (why, token) in [
        ("of another issuer", signer.sign(&json!({"sub": "a1", "iss": "https://evil.test", "aud": "chat", "exp": later}))),
        ("of no issuer", signer.sign(&json!({"sub": "a1", "aud": "chat", "exp": later}))),
        ("for another audience", signer.sign(&json!({"sub": "a1", "iss": iss, "aud": ["x", "y"], "exp": later}))),
        ("that has expired", signer.sign(&json!({"sub": "a1", "iss": iss, "aud": "chat", "exp": seconds_from_now(-45)}))),
        ("that begins later", signer.sign(&json!({"sub": "a1", "iss": iss, "aud": "chat", "exp": later, "nbf": seconds_from_now(45)}))),
        ("of an unknown key", unknown.token("a1")),
    ] {
        let refusal = match stage.try_options(&with_token(&token)).await {
            Ok(_) => panic!("a token {why} was let in"),
            Err(error) => Refusal::from(error),
        };
        assert_eq!(refusal.code, "28000", "{why}: {refusal:?}");
    }
    // Within the leeway of 30s, and one audience of several, a token is good.
    for claims in [
        json!({"sub": "a1", "iss": iss, "aud": ["x", "chat"], "exp": later}),
        json!({"sub": "a1", "iss": iss, "aud": "chat", "exp": seconds_from_now(-10)}),
        json!({"sub": "a1", "iss": iss, "aud": "chat", "exp": later, "nbf": seconds_from_now(10)}),
    ] {
        let login = stage.try_options(&with_token(&signer.sign(&claims))).await;
        assert!(login.is_ok(), "{claims}: {:?}", login.err());
    }
}

#[tokio::test]
async fn the_user_claim_may_be_another() {
    let signer = Signer::new("one", Algorithm::EdDSA);
    let stage = jwt_stage(&[&signer], ", userClaim: email").start().await;
    let token = signer.sign(&json!({
        "sub": "1234", "email": "alice@example.org", "iss": "https://issuer.test", "aud": "chat", "exp": seconds_from_now(60),
    }));
    let session = stage.try_options(&with_token(&token)).await.unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("alice@example.org"));
    let refusal = refused(stage.try_options(&with_token(&signer.token("bob"))).await);
    assert_eq!(refusal.code, "28000");
    assert!(refusal.says("email"), "{refusal:?}");
}

#[tokio::test]
async fn a_context_token_is_accepted_beside_a_jwt() {
    let house = Signer::new("house", Algorithm::EdDSA);
    let provider = Signer::new("provider", Algorithm::ES256);
    let stage = jwt_stage(&[&provider], "")
        .secret("bulkhead-context-keys/jwks.json", &key_set(&[&house]))
        .start()
        .await;
    for (signer, user) in [(&house, "alice"), (&provider, "bob")] {
        let session = stage
            .try_options(&with_token(&signer.token(user)))
            .await
            .unwrap();
        assert_eq!(seen(&session).await.as_deref(), Some(user));
    }
}

#[tokio::test]
async fn a_token_that_expires_lets_the_open_transaction_finish_and_refuses_the_next() {
    // Given a connection whose token is about to expire, in a transaction,
    let signer = Signer::new("one", Algorithm::EdDSA);
    let stage = jwt_stage(&[&signer], ", leeway: 0s").start().await;
    let end = seconds_from_now(2);
    let token = signer
        .sign(&json!({"sub": "alice", "iss": "https://issuer.test", "aud": "chat", "exp": end}));
    let session = stage.try_options(&with_token(&token)).await.unwrap();
    session.run("BEGIN").await;
    session
        .run("INSERT INTO notes (owner, body) VALUES ('alice', 'kept')")
        .await;

    // when the token has expired,
    wait::until("the token's end", || async { seconds_from_now(0) > end }).await;

    // then the transaction goes on to its end, and nothing begins after it.
    assert_eq!(
        session.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("1")
    );
    session.run("COMMIT").await;
    let refusal = session.refused("SELECT 1").await;
    assert_eq!(refusal.code, "28000", "{refusal:?}");
    let count = stage.admin().await.text("SELECT count(*) FROM notes").await;
    assert_eq!(count.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_user_who_is_a_number_is_its_decimal_form() {
    let signer = Signer::new("one", Algorithm::EdDSA);
    let stage = jwt_stage(&[&signer], "").start().await;
    let token = signer.sign(&json!({"sub": 1234, "iss": "https://issuer.test", "aud": "chat", "exp": seconds_from_now(60)}));
    let session = stage.try_options(&with_token(&token)).await.unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("1234"));
}

#[tokio::test]
async fn a_policy_without_audiences_refuses_a_token_that_is_for_somebody() {
    // RFC 7519, section 4.1.3: whoever is not among those whom `aud` names must refuse the token.
    let signer = Signer::new("one", Algorithm::EdDSA);
    let stage = Stage::with(Policy::jwt("{jwks: {secretRef: {name: keys}}}"))
        .secret("keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    let refusal = refused(stage.try_options(&with_token(&signer.token("alice"))).await);
    assert_eq!(refusal.code, "28000");
    assert!(refusal.says("audiences"), "{refusal:?}");
}
