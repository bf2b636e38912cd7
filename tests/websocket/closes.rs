//! How sockets end: each with its close code, and a reason that names the field of the policy.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::wait;
use bulkhead_tests::websocket::frames::{CLOSE, Length, PING};
use bulkhead_tests::websocket::{Application, Asking, Frame, Peer, SocketStage};
use jsonwebtoken::Algorithm;
use serde_json::json;

/// A stage, and a socket of alice's through it: the client's end and the application's.
async fn socket(entry: &str) -> (SocketStage, Application, Peer, Peer) {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket(entry);
    let stage = SocketStage::start(policy, application.port()).await;
    let (client, peer) = tokio::join!(stage.open("alice"), application.opened());
    (stage, application, client, peer)
}

/// Both ends are closed: the client with this code and a reason that says `why`, the application with "going away".
async fn both_closed(client: &mut Peer, peer: &mut Peer, code: u16, why: &str) {
    let ((is, reason), (to_application, _)) = tokio::join!(client.closed(), peer.closed());
    assert_eq!(is, code, "{reason}");
    assert!(reason.contains(why), "{reason}");
    assert_eq!(to_application, 1001);
}

#[tokio::test]
async fn a_message_above_the_limit_ends_with_1009_and_one_at_the_limit_passes() {
    let entry = "limits: {messageBytes: 1Ki}";
    let oversize = [
        Frame::text(vec![b'x'; 1025]).masked(),
        [
            Frame::text(vec![b'x'; 1024]).part(),
            Frame::continuation("x"),
        ]
        .iter()
        .flat_map(Frame::masked)
        .collect(),
        // A header alone says it: the rest would be 4 EiB.
        vec![0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
    ];
    for bytes in oversize {
        let (stage, _application, mut client, mut peer) = socket(entry).await;
        client.send(Frame::binary(vec![1; 1024])).await;
        assert_eq!(peer.next().await, Frame::binary(vec![1; 1024]));
        client.send_bytes(&bytes).await;
        let told = tokio::join!(client.closed(), async {
            // What of it had passed is no whole message.
            loop {
                let frame = peer.next().await;
                if frame.opcode == CLOSE {
                    return frame.closes().0;
                }
                assert!(!frame.fin, "{frame:?}");
            }
        });
        let ((code, reason), to_application) = told;
        assert_eq!((code, to_application), (1009, 1001), "{reason}");
        assert!(
            reason.contains("webSockets[chat].limits.messageBytes = 1Ki"),
            "{reason}"
        );
        stage.until_closes("1009", "sidecar", 1.0).await;
    }
}

#[tokio::test]
async fn a_client_that_still_sends_its_oversized_message_hears_why_it_is_closed() {
    let (_stage, _application, mut client, _peer) = socket("limits: {messageBytes: 1Ki}").await;
    // More than the kernel's buffers hold: a close with bytes unread would be a reset, which takes the Close frame with it.
    let _ = client
        .try_send(&Frame::binary(vec![1; 16 << 20]).masked())
        .await;
    let close = client.next().await;
    assert_eq!(close.closes().0, 1009);
}

#[tokio::test]
async fn what_the_application_sends_has_no_limit_of_size() {
    let (_stage, _application, mut client, mut peer) = socket("limits: {messageBytes: 1Ki}").await;
    let big = Frame::binary(vec![9; 3 << 20]);
    let (frame, ()) = tokio::join!(client.next(), peer.send(big.clone()));
    assert_eq!(frame, big);
}

#[tokio::test]
async fn a_user_that_sends_too_fast_is_slowed_down_over_all_of_their_sockets() {
    let entry = "limits: {messagesPerSecond: 10}";
    let (stage, application, mut first, mut first_peer) = socket(entry).await;
    let (mut second, mut second_peer) = tokio::join!(stage.open("alice"), application.opened());
    let (mut other, mut other_peer) = tokio::join!(stage.open("bob"), application.opened());
    let start = Instant::now();
    for number in 0..10 {
        first.send(Frame::text(format!("{number}"))).await;
        second.send(Frame::text(format!("{number}"))).await;
    }
    // Another user is not slowed down,
    other.send(Frame::text("bob")).await;
    assert_eq!(other_peer.next().await.as_text(), "bob");
    // and nothing of alice's is lost: ten at once, ten more in a second.
    for number in 0..10 {
        for peer in [&mut first_peer, &mut second_peer] {
            assert_eq!(peer.next().await.as_text(), format!("{number}"));
        }
    }
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed_with_3008() {
    let entry = "timeouts: {ping: 100ms, pong: 300ms}";
    let (stage, _application, mut client, mut peer) = socket(entry).await;
    assert_eq!(client.next().await.opcode, PING);
    let close = client.next().await;
    let (code, reason) = close.closes();
    assert_eq!(code, 3008);
    assert!(
        reason.contains("webSockets[chat].timeouts.pong = 300ms"),
        "{reason}"
    );
    assert_eq!(peer.closed().await.0, 1001);
    client.send(Frame::new(CLOSE, close.payload)).await;
    assert_eq!(client.frame().await, None);
    stage.until_closes("3008", "sidecar", 1.0).await;
    assert!(
        stage
            .sidecar
            .metric("bulkhead_timeouts_total", &[("kind", "ping")])
            >= 1.0
    );
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_and_the_application_hears_nothing_of_it() {
    let entry = "timeouts: {ping: 50ms, pong: 5s}";
    let (_stage, _application, mut client, mut peer) = socket(entry).await;
    for _ in 0..5 {
        let ping = client.next().await;
        assert_eq!(ping.opcode, PING);
        client.send(Frame::pong(ping.payload)).await;
    }
    // A pong of its own accord is the application's to see, as its ping is.
    client.send(Frame::pong("unasked")).await;
    assert_eq!(peer.next().await, Frame::pong("unasked"));
    client.send(Frame::ping("client's")).await;
    assert_eq!(peer.next().await, Frame::ping("client's"));
}

#[tokio::test]
async fn silence_ends_with_1001_and_messages_put_it_off() {
    let entry = "timeouts: {idle: 400ms, ping: 0s}";
    let (stage, _application, mut client, mut peer) = socket(entry).await;
    let start = Instant::now();
    let mut told = 0;
    while start.elapsed() < Duration::from_millis(600) {
        peer.send(Frame::text("still here")).await;
        assert_eq!(client.next().await.as_text(), "still here");
        told += 1;
        wait::pause().await;
    }
    assert!(told > 1);
    let field = "webSockets[chat].timeouts.idle = 400ms";
    both_closed(&mut client, &mut peer, 1001, field).await;
    stage.until_closes("1001", "sidecar", 1.0).await;
}

#[tokio::test]
async fn age_ends_with_1012_however_busy_a_socket_is() {
    let entry = "timeouts: {maxLifetime: 500ms}";
    let (stage, _application, mut client, mut peer) = socket(entry).await;
    let close = loop {
        if peer.try_send(&Frame::text("busy").plain()).await.is_err() {
            panic!("the application's end has gone before the client was told");
        }
        let frame = client.next().await;
        if frame.opcode == CLOSE {
            break frame;
        }
        wait::pause().await;
    };
    let (code, reason) = close.closes();
    assert_eq!(code, 1012);
    assert!(
        reason.contains("webSockets[chat].timeouts.maxLifetime = 500ms"),
        "{reason}"
    );
    client.send(Frame::new(CLOSE, close.payload)).await;
    assert_eq!(peer.closed().await.0, 1001);
    stage.until_closes("1012", "sidecar", 1.0).await;
}

#[tokio::test]
async fn an_expired_token_ends_its_socket_with_1008_after_the_grace() {
    let signer = Signer::new("one", Algorithm::EdDSA);
    let application = Application::listen().await;
    let policy = Policy::jwt("{jwks: {secretRef: {name: keys}}, audiences: [chat], leeway: 0s}")
        .web_socket("timeouts: {expiryGrace: 300ms}");
    let stage = SocketStage::with(policy, application.port())
        .secret("keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    let end = seconds_from_now(2);
    let token = signer.sign(&json!({"sub": "alice", "aud": "chat", "exp": end}));
    let asking = Asking::upgrade("/ws").bearer(&token);
    let (answer, mut peer) = tokio::join!(stage.ask(&asking), application.opened());
    let mut client = answer.opened();
    client.send(Frame::text("in time")).await;
    assert_eq!(peer.next().await.as_text(), "in time");
    both_closed(&mut client, &mut peer, 1008, "timeouts.expiryGrace = 300ms").await;
    assert!(seconds_from_now(0) >= end);
    stage.until_closes("1008", "sidecar", 1.0).await;
}

#[tokio::test]
async fn closes_of_the_two_ends_pass_as_they_are() {
    for (code, reason) in [
        (1000, ""),
        (1001, "tab"),
        (3999, "ü"),
        (4000, "mine"),
        (4999, "x"),
    ] {
        let (stage, _application, mut client, mut peer) = socket("").await;
        client.send(Frame::close(code, reason)).await;
        assert_eq!(peer.closed().await, (code, reason.to_owned()));
        assert_eq!(client.next().await.closes(), (code, reason.to_owned()));
        assert_eq!(client.frame().await, None);
        stage.until_metric("bulkhead_connections", &[], 0.0).await;

        let (mut client, mut peer) = tokio::join!(stage.open("bob"), _application.opened());
        peer.send(Frame::close(code, reason)).await;
        assert_eq!(client.closed().await, (code, reason.to_owned()));
        assert_eq!(peer.next().await.closes(), (code, reason.to_owned()));
        assert_eq!(peer.frame().await, None);
    }
}

#[tokio::test]
async fn an_application_that_dies_is_told_to_the_client_with_1014() {
    // By a reset, as a process that is killed with bytes unread, and by an end of its stream.
    for reset in [true, false] {
        let (stage, _application, mut client, mut peer) = socket("").await;
        peer.send(Frame::text("last words")).await;
        assert_eq!(client.next().await.as_text(), "last words");
        if reset {
            peer.reset();
        } else {
            drop(peer);
        }
        let (code, reason) = client.closed().await;
        assert_eq!(code, 1014, "{reason}");
        stage.until_closes("1014", "application", 1.0).await;
        stage.until_metric("bulkhead_connections", &[], 0.0).await;
    }
}

#[tokio::test]
async fn an_application_that_dies_in_the_middle_of_a_frame_ends_the_client_without_a_close() {
    let (stage, _application, mut client, mut peer) = socket("").await;
    let whole = Frame::text(vec![b'x'; 1000]).written(None, Length::Shortest);
    peer.send_bytes(&whole[..500]).await;
    assert_eq!(client.bytes(500).await, &whole[..500]);
    peer.reset();
    let start = Instant::now();
    assert_eq!(client.rest().await, b"");
    wait::no_longer_than(Duration::from_secs(3), start);
    stage.until_closes("1006", "application", 1.0).await;
}

#[tokio::test]
async fn a_client_that_is_gone_is_the_end_for_the_application_too() {
    for reset in [true, false] {
        let (stage, _application, mut client, mut peer) = socket("").await;
        client.send(Frame::text("bye")).await;
        assert_eq!(peer.next().await.as_text(), "bye");
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        assert_eq!(peer.frame().await, None);
        stage.until_closes("1006", "client", 1.0).await;
        stage.until_metric("bulkhead_connections", &[], 0.0).await;
    }
}

#[tokio::test]
async fn an_application_that_never_answers_a_close_does_not_hold_the_client() {
    let (stage, _application, mut client, peer) = socket("").await;
    client.send(Frame::close(1000, "done")).await;
    let start = Instant::now();
    // Without an answer the connection ends all the same.
    assert_eq!(client.rest().await, b"");
    wait::no_longer_than(Duration::from_secs(8), start);
    stage.until_closes("1000", "client", 1.0).await;
    drop(peer);
}
