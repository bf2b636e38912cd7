//! permessage-deflate: between the two ends alone, unless the policy must read messages.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::websocket::{Application, Asking, Frame, SocketStage};

const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// What the application is offered under a policy with `entry`, of `offer`.
async fn offered(entry: &str, offer: &str) -> Option<String> {
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(entry), application.port()).await;
    let asking = Asking::upgrade("/ws")
        .bearer("alice")
        .header("Sec-WebSocket-Extensions", offer);
    let answering = async {
        let asked = application.asked().await;
        let seen = asked.header("sec-websocket-extensions");
        (seen, asked.upgrade("").await)
    };
    let (answer, (seen, mut peer)) = tokio::join!(stage.ask(&asking), answering);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
    // Not agreed on, it may not be used.
    let mut client = answer.opened();
    client.send(Frame::text("x").reserved(0b100)).await;
    let (told, _) = tokio::join!(client.closed(), peer.closed());
    assert_eq!(told.0, 1002);
    seen
}

#[tokio::test]
async fn the_offer_reaches_the_application_unless_the_policy_has_messages_read() {
    for (entry, passes) in [
        ("", true),
        ("compression: Pass", true),
        ("compression: Remove", false),
        ("criticalEvents: [agent_started]", false),
        ("validateUtf8: true", false),
    ] {
        let seen = offered(entry, OFFER).await;
        assert_eq!(seen.as_deref(), passes.then_some(OFFER), "{entry}");
    }
}

#[tokio::test]
async fn extensions_that_nobody_knows_are_not_offered_on() {
    let seen = offered("", "x-webkit-deflate-frame, permessage-deflate, x-mux").await;
    assert_eq!(seen.as_deref(), Some("permessage-deflate"));
    assert_eq!(offered("", "x-mux").await, None);
}

#[tokio::test]
async fn what_was_agreed_on_is_told_with_its_parameters() {
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    let asking = Asking::upgrade("/ws")
        .bearer("alice")
        .header("Sec-WebSocket-Extensions", OFFER);
    let agreed = "permessage-deflate; server_no_context_takeover; client_max_window_bits=10";
    let line = format!("Sec-WebSocket-Extensions: {agreed}\r\n");
    let answering = async { application.asked().await.upgrade(&line).await };
    let (answer, _peer) = tokio::join!(stage.ask(&asking), answering);
    let told = answer.header("sec-websocket-extensions");
    assert_eq!(told.as_deref(), Some(agreed));
}
