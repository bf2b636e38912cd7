//! Many users with many sockets: every message is its own user's, whoever comes and goes beside them, and nothing is left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_tests::dice::Dice;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::frames::CLOSE;
use bulkhead_tests::websocket::{
    Answer, Application, Asking, Frame, Kind, Peer, Server, SocketStage,
};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const USERS: usize = 50;
const SOCKETS: usize = 20;
const MESSAGES: usize = 10;

/// A sidecar before a real echo that lets `sockets` of one user in.
async fn stage() -> (Server, SocketStage) {
    let server = Server::start(Kind::Websockets).await;
    let policy = Policy::trusted().web_socket(
        "limits: {connectionsPerUser: 20, whenFull: Reject, messagesPerSecond: 1000000}",
    );
    let stage = SocketStage::start(policy, server.port()).await;
    (server, stage)
}

/// Opens a socket by what stands in `asking`; a test of many waits longer than one of few.
async fn opened(port: u16, user: &str) -> Peer {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut peer = Peer::client(stream);
    peer.send_bytes(&Asking::upgrade("/ws").bearer(user).bytes())
        .await;
    Answer::read(peer).await.opened()
}

/// Sends messages that say whose they are, and holds each answer to it.
async fn talk(client: &mut Peer, owner: &str) {
    for number in 0..MESSAGES {
        let size = [10, 200, 5_000][number % 3];
        let message = format!("{owner} {number} {}", "x".repeat(size));
        client.send(Frame::text(message.clone())).await;
        assert_eq!(client.message().await.as_text(), message);
    }
}

async fn leave(mut client: Peer) {
    client.send(Frame::close(1000, "")).await;
    let close = client.message().await;
    assert_eq!((close.opcode, close.closes().0), (CLOSE, 1000));
    assert_eq!(client.frame().await, None);
}

/// A round of all users with all their sockets at once; a fifth of the sockets goes away without a word. How many did.
async fn round(port: u16, seed: u32) -> usize {
    let mut dice = Dice(seed);
    let mut talks = JoinSet::new();
    // All are open before the first one leaves.
    let all_there = Arc::new(tokio::sync::Barrier::new(USERS * SOCKETS));
    let mut vanished = 0;
    for number in 0..USERS * SOCKETS {
        let vanishes = dice.below(5) == 0;
        vanished += usize::from(vanishes);
        let all_there = Arc::clone(&all_there);
        talks.spawn(async move {
            let user = format!("user-{}", number % USERS);
            let mut client = opened(port, &user).await;
            all_there.wait().await;
            let owner = format!("{user} socket {number}");
            talk(&mut client, &owner).await;
            if vanishes {
                client.send(Frame::text("half a message").part()).await;
                client.reset();
            } else {
                leave(client).await;
            }
        });
    }
    while let Some(talk) = talks.join_next().await {
        talk.unwrap();
    }
    vanished
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sockets_of_fifty_users_see_their_own_messages_and_leave_nothing_behind() {
    let (_server, stage) = stage().await;
    let mut vanished = 0;
    for seed in [7, 11] {
        vanished += round(stage.port(), seed).await;
        stage.until_metric("bulkhead_connections", &[], 0.0).await;
    }
    let all = 2 * USERS * SOCKETS;
    let as_number = |count: usize| f64::from(u32::try_from(count).unwrap());
    let closed = as_number(all - vanished);
    stage.until_closes("1000", "client", closed).await;
    stage
        .until_closes("1006", "client", as_number(vanished))
        .await;
    let accepted = [("protocol", "websocket"), ("outcome", "accepted")];
    stage
        .until_metric("bulkhead_connections_total", &accepted, as_number(all))
        .await;
    // Each message once up and once down; what had only been begun is none.
    for direction in ["client_to_application", "application_to_client"] {
        let labels = [("direction", direction)];
        let messages = as_number(all * MESSAGES);
        stage
            .until_metric("bulkhead_websocket_messages_total", &labels, messages)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_clients_that_come_back_at_once_are_all_let_in() {
    const CLIENTS: usize = 500;
    let (_server, stage) = stage().await;
    let port = stage.port();
    let open = |round: usize| async move {
        let mut opening = JoinSet::new();
        for number in 0..CLIENTS {
            opening.spawn(async move {
                let owner = format!("user-{}", number % USERS);
                let mut client = opened(port, &owner).await;
                client.send(Frame::text(format!("{round} {number}"))).await;
                assert_eq!(
                    client.message().await.as_text(),
                    format!("{round} {number}")
                );
                client
            });
        }
        opening.join_all().await
    };
    let clients = open(0).await;
    // All are cut off at once, and come back without waiting for their old sockets to be noticed as gone: of 20 places 10 are taken.
    clients.into_iter().for_each(Peer::reset);
    let start = Instant::now();
    let again = open(1).await;
    wait::no_longer_than(Duration::from_secs(10), start);
    stage.until_metric("bulkhead_connections", &[], 500.0).await;
    drop(again);
    stage.until_metric("bulkhead_connections", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_give_up_during_the_handshake_leave_no_seat_taken() {
    // Given an application that accepts and says nothing,
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket(
        "{limits: {connectionsPerUser: 2, whenFull: Reject}, timeouts: {handshake: 2s}}",
    );
    let stage = SocketStage::start(policy, application.port()).await;
    let asking = Asking::upgrade("/ws").bearer("alice");
    // when clients ask and go away before it has answered,
    for _ in 0..20 {
        let stream = TcpStream::connect(("127.0.0.1", stage.port()))
            .await
            .unwrap();
        let mut client = Peer::client(stream);
        client.send_bytes(&asking.bytes()).await;
        let asked = application.asked().await;
        client.reset();
        // The application is let go with its client.
        let mut peer = asked.peer;
        assert_eq!(peer.rest().await, b"");
    }
    // then both of the user's places are free.
    let (_first, _peer) = tokio::join!(stage.open("alice"), application.opened());
    let (_second, _peer) = tokio::join!(stage.open("alice"), application.opened());
    assert_eq!(stage.ask(&asking).await.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_come_and_go_leave_no_memory_behind() {
    /// Less than 2 KiB of each would be seen.
    const MANY: usize = 2_000;
    const GROWTH: u64 = 4 << 20;
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket("");
    let stage = SocketStage::start(policy, application.port()).await;
    let port = stage.port();
    let echo = tokio::spawn(async move {
        loop {
            let mut peer = application.opened().await;
            tokio::spawn(async move {
                while let Some(frame) = peer.frame().await {
                    peer.send(frame).await;
                }
            });
        }
    });
    let come_and_go = |count: usize| async move {
        let mut clients = JoinSet::new();
        for lane in 0..10 {
            clients.spawn(async move {
                for number in 0..count / 10 {
                    // Users of their own too: what is kept of a user must go as well.
                    let owner = format!("user-{lane}-{number}");
                    let mut client = opened(port, &owner).await;
                    client.send(Frame::text(owner.clone())).await;
                    assert_eq!(client.message().await.as_text(), owner);
                    leave(client).await;
                }
            });
        }
        clients.join_all().await;
    };
    come_and_go(MANY / 2).await;
    let before = stage.sidecar.memory("RssAnon");
    come_and_go(MANY).await;
    let after = stage.sidecar.memory("RssAnon");
    assert!(after < before + GROWTH, "{before} and then {after}");
    echo.abort();
}
