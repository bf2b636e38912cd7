//! Where a token may stand, and that it goes no further than it must.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::tokens::{Signer, key_set};
use bulkhead_tests::websocket::application::Asked;
use bulkhead_tests::websocket::{Answer, Application, Asking, SocketStage};
use jsonwebtoken::Algorithm;

/// A stage with tokens at `tokens`, and a signer of good ones.
async fn stage_with(tokens: &str) -> (Application, SocketStage, Signer) {
    let signer = Signer::new("one", Algorithm::EdDSA);
    let application = Application::listen().await;
    let policy = Policy::jwt("{jwks: {secretRef: {name: keys}}, audiences: [chat]}")
        .web_socket(&format!("tokens: {tokens}"));
    let stage = SocketStage::with(policy, application.port())
        .secret("keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    (application, stage, signer)
}

/// What the application is asked, and what the client is answered.
async fn asked(application: &Application, stage: &SocketStage, asking: &Asking) -> (Asked, Answer) {
    let answering = async {
        let asked = application.asked().await;
        let seen = Asked {
            line: asked.line.clone(),
            headers: asked.headers.clone(),
            peer: asked.upgrade("").await,
        };
        assert_eq!(seen.header("x-bulkhead-user").as_deref(), Some("alice"));
        seen
    };
    let (answer, seen) = tokio::join!(stage.ask(asking), answering);
    (seen, answer)
}

#[tokio::test]
async fn a_token_in_a_header_of_the_policys_name_is_found() {
    let (application, stage, signer) = stage_with("[{source: Header, key: X-Token}]").await;
    let token = signer.token("alice");
    let asking = Asking::upgrade("/ws").header("x-token", &token);
    let (_, answer) = asked(&application, &stage, &asking).await;
    let _ = answer.opened();
    // The default places are not looked at.
    let elsewhere = Asking::upgrade("/ws").bearer(&token);
    assert_eq!(stage.ask(&elsewhere).await.status, 401);
}

#[tokio::test]
async fn a_token_in_a_cookie_counts_for_pages_of_the_very_host_only() {
    let (application, stage, signer) = stage_with("[{source: Cookie, key: session}]").await;
    let cookie = format!("theme=dark; session={}; x=y", signer.token("alice"));
    let asking = Asking::upgrade("/ws").header("Cookie", &cookie);
    let own = asking.clone().header("Origin", "http://chat.example");
    for asking in [&asking, &own] {
        let (_, answer) = asked(&application, &stage, asking).await;
        let _ = answer.opened();
    }
    let foreign = asking.header("Origin", "https://evil.example");
    assert_eq!(stage.ask(&foreign).await.status, 403);
}

#[tokio::test]
async fn a_token_in_the_query_is_seen_by_nobody_else() {
    let (application, stage, signer) = stage_with("[{source: Query, key: token}]").await;
    let token = signer.token("alice");
    for (query, left) in [
        (format!("?room=1&token={token}&x=%2F"), "?room=1&x=%2F"),
        (format!("?token={token}"), ""),
    ] {
        let asking = Asking::upgrade(&format!("/ws{query}"));
        let (seen, answer) = asked(&application, &stage, &asking).await;
        assert_eq!(seen.line, format!("GET /ws{left} HTTP/1.1"));
        assert!(!format!("{:?}", seen.headers).contains(&token));
        let _ = answer.opened();
    }
    // What is no token is not written into the log either, and the client learns nothing from its own refusal.
    let wrong = Asking::upgrade("/ws?token=wrong-secret-text");
    let (status, text) = stage.ask(&wrong).await.refused().await;
    assert_eq!(status, 401);
    assert!(!text.contains("wrong-secret-text"), "{text}");
    for secret in [token.as_str(), "wrong-secret-text"] {
        assert!(!stage.sidecar.log.text().contains(secret));
    }
}

#[tokio::test]
async fn a_token_among_the_subprotocols_is_for_the_sidecar_alone() {
    let (application, stage, signer) = stage_with("[{source: Subprotocol}]").await;
    let token = BASE64_URL_SAFE_NO_PAD.encode(signer.token("alice"));
    for (beside, seen_by_application, selected) in [
        ("bulkhead.v1", None, Some("bulkhead.v1")),
        ("chat, bulkhead.v1", Some("chat"), Some("bulkhead.v1")),
        ("chat", Some("chat"), None),
    ] {
        let offer = format!("{beside}, bulkhead.token.{token}");
        let asking = Asking::upgrade("/ws").header("Sec-WebSocket-Protocol", &offer);
        let (seen, answer) = asked(&application, &stage, &asking).await;
        let told = seen.header("sec-websocket-protocol");
        assert_eq!(told.as_deref(), seen_by_application, "{beside}");
        let told = answer.header("sec-websocket-protocol");
        assert_eq!(told.as_deref(), selected, "{beside}");
        let _ = answer.opened();
    }
    // A browser could not be answered: it has offered nothing that may be selected.
    let alone = format!("bulkhead.token.{token}");
    let asking = Asking::upgrade("/ws").header("Sec-WebSocket-Protocol", &alone);
    let (status, text) = stage.ask(&asking).await.refused().await;
    assert_eq!(status, 400);
    assert!(text.contains("bulkhead.v1"), "{text}");
}

#[tokio::test]
async fn the_first_place_of_the_policys_order_counts() {
    let places = "[{source: Header, key: X-Token}, {source: Authorization}]";
    let (application, stage, signer) = stage_with(places).await;
    let asking = Asking::upgrade("/ws")
        .bearer(&signer.token("bob"))
        .header("X-Token", &signer.token("alice"));
    let (_, answer) = asked(&application, &stage, &asking).await;
    let _ = answer.opened();
    // Where the first place holds what is no token, the second is not asked: it would be another user's.
    let wrong = Asking::upgrade("/ws")
        .bearer(&signer.token("bob"))
        .header("X-Token", "rubbish");
    assert_eq!(stage.ask(&wrong).await.status, 401);
}

#[tokio::test]
async fn two_tokens_in_one_place_are_a_bad_request() {
    let (_application, stage, signer) = stage_with("[{source: Authorization}]").await;
    let asking = Asking::upgrade("/ws")
        .bearer(&signer.token("alice"))
        .bearer(&signer.token("bob"));
    assert_eq!(stage.ask(&asking).await.status, 400);
}
