//! What the sidecar reads of messages where the policy asks for it: text that is no text, critical events, what is left out for clients
//! that do not read, and runs.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::{Application, Frame, Kind, Server, SocketStage};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

const EVENTS: &str = "bulkhead_websocket_critical_events_total";

/// How many events have come to this.
fn events(stage: &SocketStage, event: &str, outcome: &str) -> u64 {
    let labels = [("event", event), ("outcome", outcome)];
    stage.sidecar.metric(EVENTS, &labels) as u64
}

#[tokio::test]
async fn what_is_no_text_reaches_no_server_and_who_sent_it_is_told_where_the_policy_says_so() {
    let server = Server::start(Kind::Websockets).await;
    let policy = Policy::trusted().web_socket("validateUtf8: true");
    let stage = SocketStage::start(policy, server.port()).await;
    // Text that is one passes, wherever its characters are cut.
    let mut client = stage.open("alice").await;
    let text = "Grüße, 世界 🌍".as_bytes();
    for at in 0..=text.len() {
        let (first, rest) = text.split_at(at);
        client.send(Frame::text(first).part()).await;
        client.send(Frame::continuation(rest)).await;
        assert_eq!(client.message().await.payload, text);
    }
    // What is none does not, and what is binary need not be any.
    client.send(Frame::binary(b"\xFF\xFE".to_vec())).await;
    assert_eq!(client.message().await.payload, b"\xFF\xFE");
    client.send(Frame::text(b"caf\xE9".to_vec())).await;
    let (code, reason) = client.closed().await;
    assert_eq!(code, 1007, "{reason}");
    stage.until_closes("1007", "sidecar", 1.0).await;
}

#[tokio::test]
async fn an_application_that_sends_what_is_no_text_is_closed_and_a_real_client_hears_whose_it_was()
{
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket("validateUtf8: true");
    let stage = SocketStage::start(policy, application.port()).await;
    let (mut client, mut peer) = tokio::join!(stage.tungstenite("alice"), application.opened());
    peer.send(Frame::text("fine")).await;
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("fine"));
    peer.send(Frame::text(b"\xC0\xAF".to_vec())).await;
    let Some(Ok(Message::Close(Some(close)))) = client.next().await else {
        panic!("no Close frame");
    };
    assert_eq!(u16::from(close.code), 1007);
    assert!(close.reason.contains("the application"), "{}", close.reason);
    assert_eq!(peer.next().await.closes().0, 1007);
}

#[tokio::test]
async fn events_of_a_real_server_are_counted_when_a_real_client_has_them() {
    let server = Server::start(Kind::Websockets).await;
    let policy = Policy::trusted()
        .web_socket("criticalEvents: [agent_completed, '/payload/kind=done', 'socket.io:done']");
    let stage = SocketStage::start(policy, server.port()).await;
    let mut client = stage.tungstenite("alice").await;
    for said in [
        r#"{"type": "agent_completed"}"#,
        r#"{"payload": {"kind": "done"}}"#,
        r#"42["done", 1]"#,
        r#"{"type": "agent_started"}"#,
        "agent_completed",
    ] {
        client.send(Message::text(said)).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text(said));
    }
    for event in ["agent_completed", "/payload/kind=done", "socket.io:done"] {
        wait::until(event, || async { events(&stage, event, "delivered") == 1 }).await;
        assert_eq!(events(&stage, event, "lost"), 0);
    }
}

#[tokio::test]
async fn events_that_a_client_never_had_are_counted_as_lost() {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket(
        "{criticalEvents: [done], limits: {slowConsumer: Close, bufferPerUser: 256Ki}}",
    );
    let stage = SocketStage::start(policy, application.port()).await;
    let (slow, mut peer) = tokio::join!(stage.open("alice"), application.opened());
    let event = json!({"type": "done", "more": "x".repeat(1000)}).to_string();
    let frame = Frame::text(event).plain();
    let mut sent = 0;
    while peer.try_send(&frame).await.is_ok() {
        sent += 1;
    }
    stage.until_closes("1013", "sidecar", 1.0).await;
    let (delivered, lost) = (
        events(&stage, "done", "delivered"),
        events(&stage, "done", "lost"),
    );
    // Some stand in buffers of the kernel's: they have been written, and count as delivered.
    assert!(delivered > 0 && lost > 0, "{delivered} and {lost}");
    assert!(delivered + lost <= sent, "{delivered} and {lost} of {sent}");
    drop(slow);
}

#[tokio::test]
async fn a_client_that_does_not_read_misses_messages_and_no_critical_event() {
    const MESSAGES: u64 = 512;
    let application = Application::listen().await;
    let policy = Policy::trusted()
        .web_socket("{criticalEvents: [done], limits: {slowConsumer: Drop, bufferPerUser: 256Ki}}");
    let stage = SocketStage::start(policy, application.port()).await;
    let (mut client, mut peer) = tokio::join!(stage.tungstenite("alice"), application.opened());
    // 32 MiB, of which the kernel and the sidecar hold a part: an application is not held up by a client that does not read.
    for number in 0..MESSAGES {
        // What says that it is no event stands within the bytes that are looked at.
        let text = "x".repeat(64 * 1024);
        let delta = format!(r#"{{"type": "delta", "number": {number}, "text": "{text}"}}"#);
        peer.send(Frame::text(delta)).await;
    }
    let last = tokio::spawn(async move {
        let event = json!({"type": "done", "number": MESSAGES});
        peer.send(Frame::text(event.to_string())).await;
        peer
    });
    let mut numbers = Vec::new();
    while numbers.last() != Some(&MESSAGES) {
        if let Message::Text(text) = client.next().await.unwrap().unwrap() {
            let said: Value = serde_json::from_str(&text).unwrap();
            numbers.push(said["number"].as_u64().unwrap());
        }
    }
    drop(last.await.unwrap());
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    let had = numbers.len() as u64 - 1;
    assert!(had < MESSAGES, "nothing was left out");
    let missed = (MESSAGES - had) as f64;
    stage
        .until_metric("bulkhead_websocket_dropped_messages_total", &[], missed)
        .await;
    assert_eq!(events(&stage, "done", "delivered"), 1);
}

#[tokio::test]
async fn runs_that_were_not_completed_are_listed_by_the_command() {
    let server = Server::start(Kind::Websockets).await;
    let policy = Policy::trusted().web_socket(
        "{criticalEvents: [agent_started, agent_failed, agent_completed], execution: {progress: 1s}}",
    );
    let stage = SocketStage::start(policy, server.port()).await;
    let mut client = stage.tungstenite("alice").await;
    let mut says = async |kind: &str, run: &str| {
        let event = json!({"type": kind, "run_id": run}).to_string();
        client.send(Message::text(event)).await?;
        client.next().await.transpose().map(drop)
    };
    for (kind, run) in [
        ("agent_started", "well"),
        ("agent_completed", "well"),
        ("agent_started", "broken"),
        ("agent_failed", "broken"),
        ("agent_started", "slow"),
    ] {
        says(kind, run).await.unwrap();
    }
    let runs = "bulkhead_websocket_runs_total";
    stage
        .until_metric(runs, &[("outcome", "timed_out")], 1.0)
        .await;
    says("agent_started", "left").await.unwrap();
    let closed: Result<(), Error> = client.close(None).await;
    closed.unwrap();
    while client.next().await.is_some() {}
    stage
        .until_metric(runs, &[("outcome", "cancelled")], 1.0)
        .await;

    let said = stage.sidecar.command(&["executions"]);
    let text = String::from_utf8(said.stdout).unwrap();
    let listed: Vec<Vec<&str>> = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().take(4).collect())
        .collect();
    assert_eq!(
        listed,
        [
            ["alice", "chat", "left", "cancelled"],
            ["alice", "chat", "slow", "timed_out"],
            ["alice", "chat", "broken", "failed"],
        ],
        "{text}"
    );
}
