//! The public keys of context tokens: an application verifies what it is told, and sees a key that was turned at once.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::{Application, Asking, Kind, Server, SocketStage};
use serde_json::{Value, json};

/// The private key of RFC 8037, appendix A.1, under a name of the test's.
const TURNED: &str = r#"{"kty": "OKP", "crv": "Ed25519", "kid": "turned",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// The names of the keys that the sidecar tells on loopback.
fn told(stage: &SocketStage) -> Vec<String> {
    let (status, text) = stage.sidecar.get("/jwks.json").expect("an answer");
    assert_eq!(status, 200, "{text}");
    let set: Value = serde_json::from_str(&text).unwrap();
    let keys = set["keys"].as_array().unwrap();
    assert!(keys.iter().all(|key| key.get("d").is_none()), "{text}");
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// What an application believes of the user, by keys that it has from the sidecar.
async fn believed(stage: &SocketStage, user: &str) -> Value {
    let keys = format!("http://127.0.0.1:{}/jwks.json", stage.sidecar.admin());
    let asking = Asking::upgrade(&format!("/verified?keys={keys}")).bearer(user);
    let mut client = stage.ask(&asking).await.opened();
    let said = client.next().await;
    serde_json::from_slice(&said.payload).unwrap_or_else(|_| panic!("{said:?}"))
}

#[tokio::test]
async fn an_application_verifies_context_tokens_by_the_keys_on_loopback_before_and_after_they_turn()
{
    let server = Server::start(Kind::Websockets).await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), server.port()).await;
    let own = told(&stage);
    assert_eq!(own.len(), 1);
    let claims = believed(&stage, "alice").await;
    assert_eq!(claims["sub"], "alice");
    assert!(claims["sid"].is_string(), "{claims}");

    let folder = stage.sidecar.secrets().join("bulkhead-context-keys");
    std::fs::create_dir_all(folder).unwrap();
    stage
        .sidecar
        .write_secret("bulkhead-context-keys/signing.json", TURNED);
    wait::until("the turned key", || async { told(&stage)[0] == "turned" }).await;
    // Tokens of the key before are out there still.
    assert_eq!(told(&stage), ["turned".to_owned(), own[0].clone()]);
    assert_eq!(believed(&stage, "bob").await["sub"], json!("bob"));
}

#[tokio::test]
async fn quiet_begins_when_the_last_socket_ends() {
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    let listener = || stage.sidecar.revision()["listeners"][0].clone();
    let opened = Instant::now();
    let (client, _peer) = tokio::join!(stage.open("alice"), application.opened());
    while opened.elapsed() < Duration::from_millis(2500) {
        assert_eq!(listener()["quietSeconds"], 0);
        wait::pause().await;
    }
    drop(client);
    wait::until("the socket's end", || async { listener()["open"] == 0 }).await;
    // Not since it was opened.
    assert!(listener()["quietSeconds"].as_u64() < Some(2));
}
