//! The context token of the house.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::tokens::{Signer, forged, key_set, seconds_from_now};
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{refused, seen, with_token};

fn context_stage(signer: &Signer) -> Setting<'static> {
    Stage::with(Policy::signed_context())
        .secret("bulkhead-context-keys/jwks.json", &key_set(&[signer]))
}

#[tokio::test]
async fn a_context_token_says_who_is_calling() {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let mut stage = context_stage(&signer).start().await;
    let token = signer.token("alice");
    stage.sidecar.log.must_not_show(&token);
    let session = stage.try_options(&with_token(&token)).await.unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn a_bare_id_is_no_token() {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let stage = context_stage(&signer).start().await;
    for login in [
        stage.try_options("-c bulkhead.user=alice").await,
        stage.try_options("-c bulkhead.context=alice").await,
        stage.try_options("-c bulkhead.context=").await,
    ] {
        let refusal = refused(login);
        assert_eq!(refusal.code, "28000");
        assert!(refusal.hint.contains("bulkhead.context"), "{refusal:?}");
    }
    // A name with a suffix is another role here, and there are no credentials for it.
    assert_eq!(
        refused(stage.try_name("chat_app+alice").await).code,
        "28000"
    );
}

#[tokio::test]
async fn a_context_token_that_is_not_ours_is_refused_with_what_is_wrong() {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let stranger = Signer::new("house", Algorithm::EdDSA);
    let stage = context_stage(&signer).start().await;
    let later = seconds_from_now(60);
    let good = signer.token("alice");
    let (head, _) = good.rsplit_once('.').unwrap();
    let cut = &good[..good.len() - 6];
    let public = signer.jwk()["x"].as_str().unwrap();
    let hmac = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(Algorithm::HS256),
        &json!({"sub": "alice", "aud": "chat", "exp": later}),
        &jsonwebtoken::EncodingKey::from_secret(public.as_bytes()),
    )
    .unwrap();
    for (why, token) in [
        ("signed by somebody else", stranger.token("alice")),
        (
            "expired",
            signer.sign(&json!({"sub": "alice", "aud": "chat", "exp": seconds_from_now(-300)})),
        ),
        (
            "for another policy",
            signer.sign(&json!({"sub": "alice", "aud": "billing", "exp": later})),
        ),
        (
            "for nobody in particular",
            signer.sign(&json!({"sub": "alice", "exp": later})),
        ),
        (
            "not valid yet",
            signer.sign(&json!({"sub": "alice", "aud": "chat", "nbf": later, "exp": later + 60})),
        ),
        (
            "without an end",
            signer.sign(&json!({"sub": "alice", "aud": "chat"})),
        ),
        (
            "without a user",
            signer.sign(&json!({"aud": "chat", "exp": later})),
        ),
        (
            "of a placeholder",
            signer.sign(&json!({"sub": "anonymous", "aud": "chat", "exp": later})),
        ),
        (
            "whose user is a list",
            signer.sign(&json!({"sub": ["alice"], "aud": "chat", "exp": later})),
        ),
        (
            "whose user is the number of nobody",
            signer.sign(&json!({"sub": 0, "aud": "chat", "exp": later})),
        ),
        (
            "unsigned",
            forged(
                &json!({"alg": "none", "kid": "house"}),
                &json!({"sub": "alice", "aud": "chat", "exp": later}),
                b"",
            ),
        ),
        ("with the public key as a shared secret", hmac),
        ("without its signature", format!("{head}.")),
        ("cut short", cut.to_owned()),
        ("no token at all", "a.b.c".to_owned()),
    ] {
        let refusal = match stage.try_options(&with_token(&token)).await {
            Ok(_) => panic!("a token {why} was let in"),
            Err(error) => Refusal::from(error),
        };
        assert_eq!(refusal.code, "28000", "{why}: {refusal:?}");
        assert!(!refusal.says(&token), "the token is told back: {refusal:?}");
    }
    let served = stage.try_options(&with_token(&good)).await.unwrap();
    assert_eq!(seen(&served).await.as_deref(), Some("alice"));
}
