//! Real clients talk to real servers through the sidecar, and none of them can tell.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::websocket::frames::{CLOSE, Frame, TEXT};
use bulkhead_tests::websocket::{Application, Asking, Kind, Server, SocketStage};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

/// Clients that send faster than people do.
const FAST: &str = "limits: {messagesPerSecond: 100000}";

async fn echo_of(kind: Kind) -> (Server, SocketStage) {
    let server = Server::start(kind).await;
    let policy = Policy::trusted().web_socket(FAST);
    let stage = SocketStage::start(policy, server.port()).await;
    (server, stage)
}

/// What every client must see of every server.
async fn clients_are_well_served_by(kind: Kind) {
    let (_server, stage) = echo_of(kind).await;
    let (python, node) = tokio::join!(
        stage.python("client.py", "alice"),
        stage.node("client.cjs", "bob")
    );
    for said in [python, node] {
        let said = said.well();
        assert!(said.contains("permessage-deflate"), "{kind:?}: {said}");
    }
    rust_client_is_well_served(&stage).await;
    stage.until_metric("bulkhead_connections", &[], 0.0).await;
    stage.until_closes("4xxx", "client", 4.0).await;
    stage.until_closes("1000", "client", 1.0).await;
}

async fn rust_client_is_well_served(stage: &SocketStage) {
    let mut socket = stage.tungstenite("carol").await;
    for message in [
        Message::text("hello"),
        Message::text(""),
        Message::binary(vec![7; 70_000]),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.send(Message::Ping("hi".into())).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::Pong("hi".into())
    );
    let normal = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 1000.into(),
        reason: "done".into(),
    };
    socket.close(Some(normal)).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn pythons_websockets_serves_python_node_and_rust() {
    clients_are_well_served_by(Kind::Websockets).await;
}

#[tokio::test]
async fn starlette_on_uvicorn_serves_python_node_and_rust() {
    clients_are_well_served_by(Kind::Starlette).await;
}

#[tokio::test]
async fn ws_on_node_serves_python_node_and_rust() {
    clients_are_well_served_by(Kind::Node).await;
}

#[tokio::test]
async fn a_chosen_subprotocol_reaches_the_client_and_no_choice_stays_none() {
    for kind in Kind::WEB_SOCKETS {
        let (_server, stage) = echo_of(kind).await;
        for (offered, chosen) in [
            ("mqtt, chat", Some("chat")),
            ("chat, bulkhead.v1", Some("chat")),
            ("mqtt, bulkhead.v1", Some("bulkhead.v1")),
            ("mqtt", None),
        ] {
            let asking = Asking::upgrade("/ws")
                .bearer("alice")
                .header("Sec-WebSocket-Protocol", offered);
            let answer = stage.ask(&asking).await;
            let protocol = answer.header("sec-websocket-protocol");
            assert_eq!(protocol.as_deref(), chosen, "{kind:?}: {offered}");
            let _ = answer.opened();
        }
    }
}

#[tokio::test]
async fn what_the_application_says_with_its_101_reaches_the_client_at_once() {
    // A server may send its first message in the very segment of its answer.
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    let asking = Asking::upgrade("/ws").bearer("alice");
    let answering = async {
        let asked = application.asked().await;
        asked
            .upgrade_and_say("X-Served-By: it\r\n", &Frame::text("welcome").plain())
            .await
    };
    let (answer, mut peer) = tokio::join!(stage.ask(&asking), answering);
    assert_eq!(answer.header("x-served-by").as_deref(), Some("it"));
    let mut client = answer.opened();
    assert_eq!(client.next().await, Frame::text("welcome"));
    client.send(Frame::close(1000, "bye")).await;
    let close = peer.next().await;
    assert_eq!((close.opcode, close.closes().0), (CLOSE, 1000));
    peer.send(Frame::close(1000, "bye")).await;
    assert_eq!(client.closed().await, (1000, "bye".to_owned()));
    stage.until_closes("1000", "client", 1.0).await;
}

#[tokio::test]
async fn two_users_never_see_each_other() {
    let (_server, stage) = echo_of(Kind::Websockets).await;
    let mut alice = stage.open("alice").await;
    let mut bob = stage.open("bob").await;
    for number in 0..100 {
        alice.send(Frame::text(format!("alice {number}"))).await;
        bob.send(Frame::text(format!("bob {number}"))).await;
    }
    for number in 0..100 {
        for (name, peer) in [("alice", &mut alice), ("bob", &mut bob)] {
            let frame = peer.message().await;
            assert_eq!(frame.opcode, TEXT);
            assert_eq!(frame.as_text(), format!("{name} {number}"));
        }
    }
}
