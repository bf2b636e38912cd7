//! Clients that come and say nothing, or not enough: they are let go in time.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::{Application, Asking, Frame, Peer, SocketStage};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_let_go() {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket("timeouts: {handshake: 300ms}");
    let stage = SocketStage::start(policy, application.port()).await;
    for beginning in [
        "",
        "GET",
        "GET /ws HTTP/1.1\r\nHost: chat.example\r\nUpgr",
        "PRI * HTTP/2.0\r\n",
    ] {
        let stream = TcpStream::connect(("127.0.0.1", stage.port()))
            .await
            .unwrap();
        let mut client = Peer::client(stream);
        client.send_bytes(beginning.as_bytes()).await;
        let start = Instant::now();
        client.rest().await;
        assert!(
            start.elapsed() >= Duration::from_millis(200),
            "{beginning:?}"
        );
        wait::no_longer_than(Duration::from_secs(5), start);
    }
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_a_request() {
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    let stream = TcpStream::connect(("127.0.0.1", stage.port()))
        .await
        .unwrap();
    let mut client = Peer::client(stream);
    let mut bytes = Asking::upgrade("/ws").bearer("alice").bytes();
    // A client may send its first frame before the answer; it must not be lost.
    bytes.extend(Frame::text("early").masked());
    for byte in bytes {
        client.send_bytes(&[byte]).await;
    }
    let mut peer = application.opened().await;
    assert_eq!(peer.next().await, Frame::text("early"));
}

#[tokio::test]
async fn a_request_of_more_bytes_than_a_server_takes_is_refused() {
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    let asking = Asking::upgrade("/ws")
        .bearer("alice")
        .header("X-Large", &"x".repeat(100_000));
    assert_eq!(stage.ask(&asking).await.status, 431);
    let large = Asking::upgrade("/ws")
        .bearer("alice")
        .header("X-Large", &"x".repeat(40_000));
    let (answer, _peer) = tokio::join!(stage.ask(&large), application.opened());
    let _ = answer.opened();
}
