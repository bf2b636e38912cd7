//! Clients that do not read: they cost themselves, and nobody else.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::websocket::{Application, Frame, SocketStage};

/// One message of the application's.
const MESSAGE: usize = 64 * 1024;
/// More of them than the kernel's buffers and the sidecar's hold: 32 MiB.
const MESSAGES: usize = 512;

#[tokio::test]
async fn a_slow_reader_is_waited_for_and_others_are_not_slowed_down() {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket("timeouts: {ping: 0s}");
    let stage = SocketStage::start(policy, application.port()).await;
    let (mut slow, mut slow_peer) = tokio::join!(stage.open("slow"), application.opened());
    let (mut fast, mut fast_peer) = tokio::join!(stage.open("fast"), application.opened());
    let before = stage.sidecar.memory("RssAnon");
    let flood = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let byte = u8::try_from(number % 251).unwrap();
            let frame = Frame::binary(vec![byte; MESSAGE]).plain();
            slow_peer.send_slowly(&frame).await;
        }
        slow_peer
    });
    // While nobody reads, another user's messages come at once,
    for number in 0..200 {
        fast.send(Frame::text(format!("{number}"))).await;
        assert_eq!(fast_peer.next().await.as_text(), format!("{number}"));
        fast_peer.send(Frame::text(format!("{number}"))).await;
        assert_eq!(fast.next().await.as_text(), format!("{number}"));
    }
    assert!(!flood.is_finished());
    // the sidecar holds no more than it held,
    let grown = stage.sidecar.memory("RssAnon").saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes");
    // and when the client reads at last, it is all there.
    for number in 0..MESSAGES {
        let byte = u8::try_from(number % 251).unwrap();
        assert_eq!(
            slow.next().await,
            Frame::binary(vec![byte; MESSAGE]),
            "{number}"
        );
    }
    drop(flood.await.unwrap());
}

#[tokio::test]
async fn a_slow_reader_is_closed_with_1013_where_the_policy_says_so() {
    let application = Application::listen().await;
    let policy =
        Policy::trusted().web_socket("limits: {slowConsumer: Close, bufferPerUser: 256Ki}");
    let stage = SocketStage::start(policy, application.port()).await;
    let (slow, mut peer) = tokio::join!(stage.open("slow"), application.opened());
    let flood = tokio::spawn(async move {
        let frame = Frame::binary(vec![7; MESSAGE]).plain();
        while peer.try_send(&frame).await.is_ok() {}
    });
    stage.until_closes("1013", "sidecar", 1.0).await;
    flood.await.unwrap();
    stage.until_metric("bulkhead_connections", &[], 0.0).await;
    drop(slow);
}
