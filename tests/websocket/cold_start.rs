//! An application that starts after its clients: they are held, and served, and none sees an error that a start-up has made.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::application::Asked;
use bulkhead_tests::websocket::{Asking, Frame, Kind, Peer, Server, SocketStage};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const CLIENTS: usize = 500;

#[tokio::test]
async fn five_hundred_clients_that_wait_for_the_application_are_all_served() {
    // Given nobody behind the port, and five hundred clients who have asked,
    let port = free_port();
    let policy = Policy::trusted()
        .web_socket("{timeouts: {coldStart: 60s}, limits: {connectionsPerUser: 100}}");
    let stage = SocketStage::start(policy, port).await;
    let mut waiting = Vec::new();
    for number in 0..CLIENTS {
        let stream = TcpStream::connect(("127.0.0.1", stage.port()))
            .await
            .unwrap();
        let mut peer = Peer::client(stream);
        let asking = Asking::upgrade("/ws").bearer(&format!("user-{}", number % 50));
        peer.send_bytes(&asking.bytes()).await;
        waiting.push(peer);
    }
    let outcomes = |outcome: &str| {
        let labels = [("protocol", "websocket"), ("outcome", outcome)];
        stage.sidecar.metric("bulkhead_connections_total", &labels)
    };
    assert!(outcomes("unavailable") < 0.5);

    // when the application starts,
    let _server = Server::at(Kind::Websockets, port).await;

    // then each is let in, talks, and goes in good order.
    let mut talks = JoinSet::new();
    for (number, peer) in waiting.into_iter().enumerate() {
        talks.spawn(async move {
            let mut client = bulkhead_tests::websocket::Answer::read(peer).await.opened();
            client.send(Frame::text(format!("hello {number}"))).await;
            assert_eq!(client.message().await.as_text(), format!("hello {number}"));
            client.send(Frame::close(1000, "")).await;
            assert_eq!(client.closed().await.0, 1000);
        });
    }
    while let Some(talk) = talks.join_next().await {
        talk.unwrap();
    }
    stage.until_metric("bulkhead_connections", &[], 0.0).await;
    let closes = |code: &str| {
        let labels = [("code", code)];
        stage
            .sidecar
            .metric("bulkhead_websocket_closes_total", &labels)
    };
    assert!((closes("1000") - CLIENTS as f64).abs() < 0.5);
    for code in ["1006", "1011", "1014"] {
        assert!(closes(code) < 0.5, "{code}");
    }
    assert!((outcomes("accepted") - CLIENTS as f64).abs() < 0.5);
}

#[tokio::test]
async fn past_the_cold_start_a_client_is_told_to_come_again() {
    let policy = Policy::trusted().web_socket("timeouts: {coldStart: 400ms}");
    let stage = SocketStage::start(policy, free_port()).await;
    let start = Instant::now();
    let answer = stage.ask(&Asking::upgrade("/ws").bearer("alice")).await;
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    let (status, text) = answer.refused().await;
    assert_eq!(status, 503);
    assert!(
        text.contains("webSockets[chat].timeouts.coldStart = 400ms"),
        "{text}"
    );
    wait::no_longer_than(Duration::from_secs(5), start);
    let labels = [("kind", "cold_start")];
    stage
        .until_metric("bulkhead_timeouts_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn without_a_cold_start_nobody_is_held() {
    let policy = Policy::trusted().web_socket("timeouts: {coldStart: 0s}");
    let stage = SocketStage::start(policy, free_port()).await;
    let answer = stage.ask(&Asking::upgrade("/ws").bearer("alice")).await;
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn an_application_that_is_restarted_is_waited_for_as_at_its_first_start() {
    let server = Server::start(Kind::Websockets).await;
    let port = server.port();
    let stage = SocketStage::start(Policy::trusted().web_socket(""), port).await;
    let mut before = stage.open("alice").await;
    server.kill();
    assert_eq!(before.closed().await.0, 1014);
    // Comes back while nobody is there,
    let stream = TcpStream::connect(("127.0.0.1", stage.port()))
        .await
        .unwrap();
    let mut peer = Peer::client(stream);
    peer.send_bytes(&Asking::upgrade("/ws").bearer("alice").bytes())
        .await;
    // and is served by the next application at the port.
    let _server = Server::at(Kind::Websockets, port).await;
    let mut after = bulkhead_tests::websocket::Answer::read(peer).await.opened();
    after.send(Frame::text("back")).await;
    assert_eq!(after.message().await.as_text(), "back");
}

#[tokio::test]
async fn clients_that_gave_up_waiting_take_nobodys_place() {
    let port = free_port();
    let policy = Policy::trusted()
        .web_socket("{timeouts: {coldStart: 60s}, limits: {connectionsPerUser: 2}}");
    let stage = SocketStage::start(policy, port).await;
    for _ in 0..10 {
        let stream = TcpStream::connect(("127.0.0.1", stage.port()))
            .await
            .unwrap();
        let mut peer = Peer::client(stream);
        peer.send_bytes(&Asking::upgrade("/ws").bearer("alice").bytes())
            .await;
        // Whether it is held, or refused because those before it have not been noticed as gone: it goes.
    }
    let _server = Server::at(Kind::Websockets, port).await;
    wait::until("a place", || async {
        stage
            .ask(&Asking::upgrade("/ws").bearer("alice"))
            .await
            .status
            == 101
    })
    .await;
}

#[tokio::test]
async fn of_a_users_sockets_that_all_wait_the_oldest_gives_way() {
    let port = free_port();
    let policy = Policy::trusted()
        .web_socket("{timeouts: {coldStart: 60s}, limits: {connectionsPerUser: 1}}");
    let stage = SocketStage::start(policy, port).await;
    let asking = Asking::upgrade("/ws").bearer("alice");
    // Which of the two is the older one is for the sidecar to say.
    let (mut one, mut other) = (Box::pin(stage.ask(&asking)), Box::pin(stage.ask(&asking)));
    let (older, newer) = tokio::select! {
        older = &mut one => (older, other),
        older = &mut other => (older, one),
    };
    assert_eq!(older.header("retry-after"), None);
    let (status, text) = older.refused().await;
    assert_eq!(status, 429);
    assert!(text.contains("newer connection"), "{text}");
    let _server = Server::at(Kind::Websockets, port).await;
    let mut client = newer.await.opened();
    client.send(Frame::text("in")).await;
    assert_eq!(client.message().await.as_text(), "in");
}

#[tokio::test]
async fn an_application_that_listens_on_ipv6_alone_is_found() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stage = SocketStage::start(Policy::trusted().web_socket(""), port).await;
    let answering = async {
        let (stream, _) = listener.accept().await.unwrap();
        Asked::read(Peer::application(stream))
            .await
            .upgrade("")
            .await
    };
    let (mut client, mut peer) = tokio::join!(stage.open("alice"), answering);
    client.send(Frame::text("hello")).await;
    assert_eq!(peer.next().await.as_text(), "hello");
}
