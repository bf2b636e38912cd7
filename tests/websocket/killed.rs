//! An application that is killed under many clients, and comes back.

use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::frames::CLOSE;
use bulkhead_tests::websocket::{Frame, Kind, Peer, Server, SocketStage};
use tokio::task::JoinSet;

const CLIENTS: usize = 200;

/// Talks until the socket ends: the close code that the client was told, and how many of its messages had come back.
async fn talk(mut client: Peer, owner: String) -> (Option<u16>, usize) {
    let mut number = 0;
    loop {
        let message = format!("{owner} {number} {}", "x".repeat(2_000));
        if client
            .try_send(&Frame::text(message.clone()).masked())
            .await
            .is_err()
        {
            // What was said before may still be there to read.
            return (told(&mut client).await, number);
        }
        match client.frame_if_whole().await {
            None => return (None, number),
            Some(frame) if frame.opcode == CLOSE => return (Some(frame.closes().0), number),
            Some(frame) => assert_eq!(frame.as_text(), message),
        }
        number += 1;
    }
}

async fn told(client: &mut Peer) -> Option<u16> {
    let mut code = None;
    while let Some(frame) = client.frame_if_whole().await {
        if frame.opcode == CLOSE {
            code = Some(frame.closes().0);
        }
    }
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_killed_application_hear_of_it_and_are_served_by_the_next() {
    let server = Server::start(Kind::Websockets).await;
    let port = server.port();
    let policy = Policy::trusted().web_socket("limits: {messagesPerSecond: 1000000}");
    let stage = SocketStage::start(policy, port).await;
    let mut talks = JoinSet::new();
    for number in 0..CLIENTS {
        let owner = format!("user-{number}");
        talks.spawn(talk(stage.open(&owner).await, owner));
    }
    // In the middle of it all,
    let labels = [("direction", "application_to_client")];
    wait::until("messages", || async {
        stage
            .sidecar
            .metric("bulkhead_websocket_messages_total", &labels)
            > 1000.0
    })
    .await;
    server.kill();
    let ends = tokio::time::timeout(Duration::from_secs(20), talks.join_all())
        .await
        .expect("every client's end");
    // each is told, but those who had half a frame: to them nothing can be said.
    let told = ends.iter().filter(|(code, _)| *code == Some(1014)).count();
    let cut = ends.iter().filter(|(code, _)| code.is_none()).count();
    assert_eq!(told + cut, CLIENTS, "{ends:?}");
    assert!(told > CLIENTS / 2, "{told} told, {cut} cut off");
    stage.until_metric("bulkhead_connections", &[], 0.0).await;
    let labels = [("code", "1011")];
    assert!(
        stage
            .sidecar
            .metric("bulkhead_websocket_closes_total", &labels)
            < 0.5
    );

    let _server = Server::at(Kind::Websockets, port).await;
    let mut client = stage.open("user-1").await;
    client.send(Frame::text("again")).await;
    assert_eq!(client.message().await.as_text(), "again");
}

#[tokio::test]
async fn an_http2_application_that_is_killed_is_found_again() {
    let server = Server::start(Kind::Hypercorn).await;
    let port = server.port();
    let stage = SocketStage::start(Policy::trusted().web_socket(""), port).await;
    assert_eq!(
        stage
            .python("http2_client.py", "before")
            .await
            .well()
            .trim(),
        "well"
    );
    server.kill();
    let _server = Server::at(Kind::Hypercorn, port).await;
    assert_eq!(
        stage.python("http2_client.py", "after").await.well().trim(),
        "well"
    );
}
