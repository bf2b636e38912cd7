//! Sessions that survive their connections: nothing is lost, nothing comes twice, and the application does not notice.

use std::time::Duration;

use bulkhead_tests::dice::Dice;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::websocket::resumer::{Came, Resumer};
use bulkhead_tests::websocket::{Application, Asking, Frame, Kind, Server, SocketStage};

const RESUME: &str = "resume: {window: 60s, buffer: 2Mi}\nlimits: {messagesPerSecond: 1000000}";

async fn stage(application: u16) -> SocketStage {
    SocketStage::start(Policy::trusted().web_socket(RESUME), application).await
}

/// The number that a message carries, in front of what fills it up.
fn number(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[1..5].try_into().unwrap())
}

/// A message with a number, of any size and kind; every third begins as control messages do.
fn numbered(number: u32, dice: &mut Dice) -> Frame {
    let size = [0, 3, 200, 3_000, 40_000][dice.below(5) as usize];
    let first = if number.is_multiple_of(3) { 0xF5 } else { 7 };
    let mut payload = vec![first];
    payload.extend(number.to_be_bytes());
    payload.resize(payload.len() + size, number as u8);
    if first == 0xF5 {
        payload.splice(0..0, *b"\xF5bk1");
    }
    Frame::binary(payload)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_lost_connections_lose_no_message_and_bring_none_twice() {
    const LOSSES: u32 = 1000;
    const AHEAD: u32 = 8;
    let server = Server::start(Kind::Websockets).await;
    let stage = stage(server.port()).await;
    let mut dice = Dice(20_261_126);
    let mut client = Resumer::open(stage.port(), "alice").await;
    let (mut sent, mut heard, mut losses) = (0, 0, 0);
    while losses < LOSSES {
        while sent < heard + AHEAD {
            client.send(numbered(sent, &mut dice)).await;
            sent += 1;
        }
        if dice.below(4) == 0 {
            client = client.come_back().await;
            assert_eq!(client.greeting.state, 1, "after {losses} losses");
            losses += 1;
            continue;
        }
        let message = client.message().await;
        assert_eq!(number(&message), heard, "after {losses} losses");
        heard += 1;
        if dice.below(10) == 0 {
            client.acknowledge().await;
        }
    }
    while heard < sent {
        assert_eq!(number(&client.message().await), heard);
        heard += 1;
    }
    // One socket of the application's has carried it all.
    let resumed = [("outcome", "resumed")];
    stage
        .until_metric(
            "bulkhead_websocket_resumes_total",
            &resumed,
            f64::from(LOSSES),
        )
        .await;
    stage
        .until_metric("bulkhead_connections", &[("upstream", "chat")], 1.0)
        .await;
    client.acknowledge().await;
    stage
        .until_metric("bulkhead_websocket_resume_bytes", &[], 0.0)
        .await;
    client.close().await;
    stage
        .until_metric("bulkhead_connections", &[("upstream", "chat")], 0.0)
        .await;
}

#[tokio::test]
async fn the_application_hears_nothing_of_a_lost_connection() {
    let application = Application::listen().await;
    let stage = stage(application.port()).await;
    let (client, asked) = tokio::join!(Resumer::open(stage.port(), "alice"), async {
        let asked = application.asked().await;
        // It is never told of what is between the sidecar and the client.
        assert_eq!(asked.header("sec-websocket-protocol"), None);
        assert_eq!(asked.header("sec-websocket-extensions"), None);
        asked.upgrade("").await
    });
    let mut backend = asked;
    let mut client = client;
    client.send(Frame::text("before")).await;
    assert_eq!(backend.message().await.as_text(), "before");
    let port = client.port;
    let token = client.greeting.token.clone();
    client.reset();
    let away = "bulkhead_websocket_away_sessions";
    stage.until_metric(away, &[], 1.0).await;
    backend.send(Frame::ping("there?")).await;
    assert_eq!(backend.next().await, Frame::pong("there?"));
    backend.send(Frame::text("meanwhile")).await;
    // Another user's token finds nothing, and takes nothing.
    let (other, asked) = tokio::join!(returned(port, "mallory", &token), application.opened(),);
    assert_eq!(other, (2, 4));
    drop(asked);
    let mut client = back(port, "alice", &token).await;
    assert_eq!(client.next().await.payload, b"meanwhile");
    stage.until_metric(away, &[], 0.0).await;
    drop(client);
}

/// What a client is greeted with that comes back with this token: state and reason.
async fn returned(port: u16, user: &str, token: &str) -> (u8, u8) {
    let offer = format!("bulkhead.resume.v1, bulkhead.session.{token}.0");
    let asking = Asking::upgrade("/ws")
        .bearer(user)
        .header("Sec-WebSocket-Protocol", &offer);
    let mut peer = asking.send(port).await.opened();
    let greeting = peer.next().await;
    (greeting.payload[5], greeting.payload[6])
}

/// A client that comes back with this token, behind its greeting.
async fn back(port: u16, user: &str, token: &str) -> bulkhead_tests::websocket::Peer {
    let offer = format!("bulkhead.resume.v1, bulkhead.session.{token}.0");
    let asking = Asking::upgrade("/ws")
        .bearer(user)
        .header("Sec-WebSocket-Protocol", &offer);
    let mut peer = asking.send(port).await.opened();
    assert_eq!(peer.next().await.payload[5], 1);
    peer
}

#[tokio::test]
async fn a_session_whose_application_was_killed_is_honestly_lost() {
    let server = Server::start(Kind::Websockets).await;
    let stage = stage(server.port()).await;
    let mut client = Resumer::open(stage.port(), "alice").await;
    for number in 0..5 {
        client.send(Frame::text(number.to_string())).await;
        client.message().await;
    }
    let port = server.port();
    server.kill();
    loop {
        match client.next().await {
            Came::Closed(code, _) => break assert_eq!(code, 1014),
            Came::Lost => break,
            _ => {}
        }
    }
    let _server = Server::at(Kind::Websockets, port).await;
    let mut client = client.come_back().await;
    let greeting = &client.greeting;
    assert_eq!((greeting.state, greeting.reason, greeting.count), (2, 1, 5));
    // It is a session like any other.
    client.send(Frame::text("again")).await;
    assert_eq!(client.message().await, b"again");
}

#[tokio::test]
async fn a_session_of_another_process_and_a_token_that_nobody_sealed_are_lost() {
    let server = Server::start(Kind::Websockets).await;
    let first = stage(server.port()).await;
    let second = stage(server.port()).await;
    let mut client = Resumer::open(first.port(), "alice").await;
    client.send(Frame::text("first")).await;
    client.message().await;
    client.port = second.port();
    let client = client.come_back().await;
    assert_eq!(client.greeting.state, 2);
    let refused = [("outcome", "refused")];
    let resumes = "bulkhead_websocket_resumes_total";
    second.until_metric(resumes, &refused, 1.0).await;
    for token in ["abc", "A".repeat(83).as_str()] {
        assert_eq!(returned(second.port(), "alice", token).await, (2, 0));
    }
    drop((client, first));
}

#[tokio::test]
async fn a_newer_connection_takes_over_and_the_older_one_is_told() {
    let server = Server::start(Kind::Websockets).await;
    let stage = stage(server.port()).await;
    let mut client = Resumer::open(stage.port(), "alice").await;
    client.send(Frame::text("one")).await;
    client.message().await;
    let (mut client, mut old) = client.come_twice().await;
    assert_eq!((client.greeting.state, client.greeting.count), (1, 1));
    let (code, reason) = old.closed().await;
    assert_eq!((code, reason.contains("taken over")), (1001, true));
    client.send(Frame::text("two")).await;
    assert_eq!(client.message().await, b"two");
}

#[tokio::test]
async fn a_message_that_the_policy_allows_is_held_until_it_is_whole() {
    // Within `messageBytes`, and larger than `bufferPerUser`, both as they are by default.
    const SIZE: usize = 1_000_000;
    let server = Server::start(Kind::Websockets).await;
    let settings = "resume: {window: 60s, buffer: 2Mi}";
    let stage = SocketStage::start(Policy::trusted().web_socket(settings), server.port()).await;
    let mut client = Resumer::open(stage.port(), "alice").await;
    client.send(Frame::binary(vec![1; SIZE])).await;
    assert_eq!(client.message().await.len(), SIZE);
}

#[tokio::test]
async fn a_client_that_does_not_opt_in_gets_a_plain_web_socket() {
    let server = Server::start(Kind::Websockets).await;
    let stage = stage(server.port()).await;
    let mut plain = stage.open("alice").await;
    plain.send(Frame::binary(b"\xF5bk1\x02as it is")).await;
    assert_eq!(plain.message().await.payload, b"\xF5bk1\x02as it is");
}

#[tokio::test]
async fn what_is_kept_for_all_has_an_end_and_nobody_else_notices() {
    let server = Server::start(Kind::Websockets).await;
    let settings = "resume: {window: 60s, buffer: 64Ki, totalBytes: 64Ki}\nlimits: {messagesPerSecond: 1000000}";
    let stage = SocketStage::start(Policy::trusted().web_socket(settings), server.port()).await;
    let mut greedy = Resumer::open(stage.port(), "greedy").await;
    // Nothing of it is acknowledged, so that little room is left.
    for _ in 0..3 {
        greedy.send(Frame::binary(vec![1; 20_000])).await;
        greedy.message().await;
    }
    let mut modest = Resumer::open(stage.port(), "modest").await;
    modest.send(Frame::binary(vec![2; 20_000])).await;
    assert_eq!(modest.next().await, Came::Final(3));
    assert_eq!(modest.message().await, vec![2; 20_000]);
    greedy.acknowledge().await;
    greedy.send(Frame::text("goes on")).await;
    assert_eq!(greedy.message().await, b"goes on");
    tokio::time::timeout(Duration::from_secs(10), modest.close())
        .await
        .unwrap();
}
