//! A policy that changes while sockets are open: new ones obey it at once, and open ones where it is about limits.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::{Application, Asking, Frame, SocketStage};

/// Puts `entry` in the place of what the policy said of the WebSocket entry.
async fn change(stage: &SocketStage, entry: &str, application: u16) {
    let before = stage.sidecar.revision()["revision"].clone();
    let policy = Policy::trusted()
        .web_socket(entry)
        .completed(stage.port(), application, "");
    stage.sidecar.write_policy(&policy.text());
    wait::until("the new revision", || async {
        stage.sidecar.revision()["revision"] != before
    })
    .await;
}

#[tokio::test]
async fn new_sockets_obey_a_change_at_once() {
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    let (mut client, mut peer) = tokio::join!(stage.open("alice"), application.opened());
    change(&stage, "paths: [/chat]", application.port()).await;
    let answer = stage.ask(&Asking::upgrade("/ws").bearer("bob")).await;
    assert_eq!(answer.status, 404);
    // The one that is open goes on.
    client.send(Frame::text("still")).await;
    assert_eq!(peer.next().await.as_text(), "still");
}

#[tokio::test]
async fn open_sockets_obey_a_changed_rate() {
    let application = Application::listen().await;
    let slow = "limits: {messagesPerSecond: 1}";
    let stage = SocketStage::start(Policy::trusted().web_socket(slow), application.port()).await;
    let (mut client, mut peer) = tokio::join!(stage.open("alice"), application.opened());
    client.send(Frame::text("first")).await;
    assert_eq!(peer.next().await.as_text(), "first");
    change(
        &stage,
        "limits: {messagesPerSecond: 100000}",
        application.port(),
    )
    .await;
    let start = Instant::now();
    for number in 0..50 {
        client.send(Frame::text(format!("{number}"))).await;
        assert_eq!(peer.next().await.as_text(), format!("{number}"));
    }
    wait::no_longer_than(Duration::from_secs(10), start);
}

#[tokio::test]
async fn another_port_of_the_application_is_dialled_from_then_on() {
    let (old, new) = (Application::listen().await, Application::listen().await);
    let stage = SocketStage::start(Policy::trusted().web_socket(""), old.port()).await;
    let (mut first, mut first_peer) = tokio::join!(stage.open("alice"), old.opened());
    change(&stage, "", new.port()).await;
    let (mut second, mut second_peer) = tokio::join!(stage.open("alice"), new.opened());
    for (client, peer) in [
        (&mut first, &mut first_peer),
        (&mut second, &mut second_peer),
    ] {
        client.send(Frame::text("hello")).await;
        assert_eq!(peer.next().await.as_text(), "hello");
    }
}
