//! SIGTERM: clients are told to come again, each at a moment of its own, and what is under way is finished.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::{Application, Asking, Frame, SocketStage};
use tokio::task::JoinSet;

/// How long the sidecar may take to end.
const END: Duration = Duration::from_secs(15);

async fn stage_with_grace(grace: &'static str) -> (Application, SocketStage) {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket("");
    let stage = SocketStage::with(policy, application.port())
        .grace(grace)
        .start()
        .await;
    (application, stage)
}

#[tokio::test]
async fn sockets_are_closed_with_1012_one_after_another() {
    let (application, mut stage) = stage_with_grace("3s").await;
    let mut clients = JoinSet::new();
    let mut peers = JoinSet::new();
    for number in 0..40 {
        let user = format!("user-{number}");
        let (mut client, mut peer) = tokio::join!(stage.open(&user), application.opened());
        clients.spawn(async move {
            let (code, reason) = client.closed().await;
            assert_eq!(code, 1012);
            assert!(reason.contains("connect again"), "{reason}");
            Instant::now()
        });
        peers.spawn(async move { assert_eq!(peer.closed().await.0, 1001) });
    }
    stage.sidecar.terminate();
    let mut ends = clients.join_all().await;
    peers.join_all().await;
    ends.sort();
    let spread = ends[ends.len() - 1] - ends[0];
    assert!(spread > Duration::from_millis(300), "all within {spread:?}");
    stage.sidecar.ends_well(END);
}

#[tokio::test]
async fn a_message_in_flight_arrives_before_its_socket_goes() {
    let (application, mut stage) = stage_with_grace("6s").await;
    let (mut client, mut peer) = tokio::join!(stage.open("alice"), application.opened());
    peer.send(Frame::text("one ").part()).await;
    assert_eq!(client.next().await, Frame::text("one ").part());
    client.send(Frame::binary(vec![1; 100]).part()).await;
    assert_eq!(peer.next().await, Frame::binary(vec![1; 100]).part());
    stage.sidecar.terminate();
    stage.sidecar.until_unready().await;
    peer.send(Frame::continuation("two")).await;
    client.send(Frame::continuation(vec![2; 100])).await;
    assert_eq!(client.next().await, Frame::continuation("two"));
    assert_eq!(peer.next().await, Frame::continuation(vec![2; 100]));
    let (told, _) = tokio::join!(client.closed(), peer.closed());
    assert_eq!(told.0, 1012);
    stage.sidecar.ends_well(END);
}

#[tokio::test]
async fn new_sockets_are_refused_and_requests_served_while_others_still_go() {
    let (application, mut stage) = stage_with_grace("8s").await;
    let (mut client, mut peer) = tokio::join!(stage.open("alice"), application.opened());
    // A message that has begun holds its socket for a while.
    client.send(Frame::text("begun").part()).await;
    assert_eq!(peer.next().await, Frame::text("begun").part());
    stage.sidecar.terminate();
    stage.sidecar.until_unready().await;
    let answer = stage.ask(&Asking::upgrade("/ws").bearer("bob")).await;
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    let (status, text) = answer.refused().await;
    assert_eq!(status, 503, "{text}");
    let request = Asking::request("GET", "/");
    let answering = async {
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        application.asked().await.answer(ok).await
    };
    let (answer, _peer) = tokio::join!(stage.ask(&request), answering);
    assert_eq!(answer.status, 200);
    client.send(Frame::continuation("done")).await;
    let (told, _) = tokio::join!(client.closed(), peer.closed());
    assert_eq!(told.0, 1012);
    stage.sidecar.ends_well(END);
}

#[tokio::test]
async fn without_sockets_the_sidecar_leaves_at_once() {
    let (_application, mut stage) = stage_with_grace("20s").await;
    let start = Instant::now();
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    wait::no_longer_than(Duration::from_secs(5), start);
}

#[tokio::test]
async fn what_does_not_go_by_itself_goes_at_the_end_of_the_grace() {
    let (application, mut stage) = stage_with_grace("1s").await;
    // Neither end ever answers a Close.
    let (client, peer) = tokio::join!(stage.open("alice"), application.opened());
    let start = Instant::now();
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    wait::no_longer_than(Duration::from_secs(8), start);
    drop((client, peer));
}
