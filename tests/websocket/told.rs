//! What the application is told: who the user is, signed, and from where the request came; and what it is never told.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::tokens::{Signer, key_set};
use bulkhead_tests::websocket::{Asking, Kind, Server, SocketStage};
use jsonwebtoken::Algorithm;
use serde_json::Value;

/// What a server says of the request that it got, at /headers.
async fn seen(stage: &SocketStage, asking: &Asking) -> (String, BTreeMap<String, String>) {
    let mut client = stage.ask(asking).await.opened();
    let said: Value = serde_json::from_slice(&client.message().await.payload).unwrap();
    let mut headers = BTreeMap::new();
    for pair in said["headers"].as_array().unwrap() {
        let name = pair[0].as_str().unwrap().to_lowercase();
        let value = pair[1].as_str().unwrap().to_owned();
        let twice = headers.insert(name, value);
        assert!(twice.is_none(), "twice in {said}");
    }
    (said["path"].as_str().unwrap().to_owned(), headers)
}

#[tokio::test]
async fn the_application_is_told_the_user_and_nothing_that_the_client_made_up() {
    for kind in Kind::WEB_SOCKETS {
        let server = Server::start(kind).await;
        let stage = SocketStage::start(Policy::trusted().web_socket(""), server.port()).await;
        let asking = Asking::upgrade("/headers?room=1&x=%20y")
            .bearer("alice")
            .header("X-Bulkhead-User", "mallory")
            .header("x-bulkhead-context", "forged")
            .header("X-BULKHEAD-Anything", "else")
            .header("X-Forwarded-For", "203.0.113.7")
            .header("X-Kept", "as it was")
            .header("Origin", "https://chat.example")
            .header("Cookie", "theme=dark");
        let (path, headers) = seen(&stage, &asking).await;
        let of = |name: &str| headers.get(name).map(String::as_str);
        assert_eq!(path, "/headers?room=1&x=%20y", "{kind:?}");
        assert_eq!(of("x-bulkhead-user"), Some("alice"), "{kind:?}");
        assert_eq!(of("x-bulkhead-anything"), None, "{kind:?}");
        assert_eq!(of("x-forwarded-for"), Some("203.0.113.7, 127.0.0.1"));
        assert_eq!(of("x-kept"), Some("as it was"));
        assert_eq!(of("host"), Some("chat.example"));
        assert_eq!(of("origin"), Some("https://chat.example"));
        assert_eq!(of("cookie"), Some("theme=dark"));
        assert_eq!(of("x-bulkhead-context").unwrap().split('.').count(), 3);
    }
}

#[tokio::test]
async fn the_context_token_is_a_signed_one_that_the_house_believes() {
    // Given a sidecar that signs with a key of its own, the token that it hands to the application
    let server = Server::start(Kind::Websockets).await;
    let provider = Signer::new("provider", Algorithm::ES256);
    let policy = Policy::jwt("{jwks: {secretRef: {name: keys}}, audiences: [chat]}").web_socket("");
    let stage = SocketStage::with(policy, server.port())
        .secret("keys/jwks.json", &key_set(&[&provider]))
        .start()
        .await;
    let asking = Asking::upgrade("/headers").bearer(&provider.token("alice"));
    let (_, headers) = seen(&stage, &asking).await;
    let token = &headers["x-bulkhead-context"];

    // says who the user is and until when,
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["sub"], "alice");
    assert!(claims["exp"].as_u64() > claims["iat"].as_u64(), "{claims}");

    // opens a socket itself, and one that was tampered with opens none.
    let (_, again) = seen(&stage, &Asking::upgrade("/headers").bearer(token)).await;
    assert_eq!(again["x-bulkhead-user"], "alice");
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[1] = URL_SAFE_NO_PAD.encode(claims.to_string().replace("alice", "mallory"));
    let forged = Asking::upgrade("/headers").bearer(&parts.join("."));
    assert_eq!(stage.ask(&forged).await.status, 401);
}
