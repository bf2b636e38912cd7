//! Work for a WebSocket, and what becomes of it when the socket has ended.

use bulkhead_crds::kinds::OnDisconnect;

use super::*;
use crate::execution::ExecutionState;

/// The client is told that its socket has ended, and the connection is closed.
async fn is_told(client: &mut Peer, how: &str) {
    let body = client.expect("E", None).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    let setting = format!("isolation.onDisconnect = {how} (environment ");
    for part in [
        "FATAL",
        "57P01",
        "the WebSocket that it worked for has ended",
        &setting,
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(client.is_closed().await);
}

/// A stage, and a socket of alice's that is open.
fn with_socket() -> (Stage, std::sync::Arc<str>) {
    let stage = Stage::new(|_| {});
    let socket = stage.open_socket("alice");
    (stage, socket)
}

#[tokio::test]
async fn cancel_ends_what_runs_and_rolls_back() {
    play(async {
        let (stage, socket) = with_socket();
        let (mut client, _) = stage.client_of_socket("alice", &socket, stage.now());
        let mut server = stage.accept().await;
        client.expect("RZ", Some("Z")).await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        client.send(&[query("SELECT pg_sleep(60)")]).await;
        server.expect("Q", None).await;
        stage.worker.close_socket(&socket, OnDisconnect::Cancel);
        is_told(&mut client, "Cancel").await;
        drop(stage.cancel_request().await);
        server.expect("S", None).await;
        let ends = [error("57014"), ready(b'E'), ready(b'E')];
        server.send(&ends).await;
        for said in ["ROLLBACK", "DISCARD ALL"] {
            let text = server.expect("Q", None).await;
            assert_eq!(text, format!("{said}\0").as_bytes());
            server.send(&[complete(said), ready(b'I')]).await;
        }
        settle().await;
        assert_eq!(
            stage.factory("alice").idle(),
            1,
            "the connection is alice's again"
        );
        let metrics = &stage.process.metrics;
        assert_eq!(metrics.executions(ExecutionState::Cancelled).get(), 1);
    })
    .await;
}

#[tokio::test]
async fn cancel_ends_an_idle_session_and_one_that_waits() {
    play(async {
        let stage = Stage::new(|policy| policy.databases[0].pool.per_user_max = 1);
        let socket = stage.open_socket("alice");
        let (mut other, mut server) = stage.greeted("alice").await;
        let mut ours = Vec::new();
        for _ in 0..2 {
            let (mut client, _) = stage.client_of_socket("alice", &socket, stage.now());
            client.expect("RKZ", None).await;
            ours.push(client);
        }
        // Given: work without a socket has the user's one connection, one session of the socket waits for it, and one is idle.
        other.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        ours[0].send(&[query("SELECT 2")]).await;
        settle().await;
        stage.worker.close_socket(&socket, OnDisconnect::Cancel);
        for client in &mut ours {
            is_told(client, "Cancel").await;
        }
        // Then: the other work goes on.
        server.send(&[complete("SELECT 1"), ready(b'I')]).await;
        other.expect("CZ", None).await;
        settle().await;
        assert_eq!(stage.factory("alice").idle(), 1);
    })
    .await;
}

#[tokio::test]
async fn drain_lets_a_transaction_finish() {
    play(async {
        let (stage, socket) = with_socket();
        let (mut client, _) = stage.client_of_socket("alice", &socket, stage.now());
        let mut server = stage.accept().await;
        client.expect("RZ", Some("Z")).await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        stage.worker.close_socket(&socket, OnDisconnect::Drain);
        run(&mut client, &mut server, "SELECT 1", "SELECT 1", b'T').await;
        run(&mut client, &mut server, "COMMIT", "COMMIT", b'I').await;
        is_told(&mut client, "Drain").await;
        assert_eq!(stage.factory("alice").idle(), 1);
    })
    .await;
}

#[tokio::test]
async fn keep_leaves_the_session_until_its_context_ends() {
    play(async {
        let (stage, socket) = with_socket();
        let (mut client, _) = stage.client_of_socket("alice", &socket, stage.now());
        let mut server = stage.accept().await;
        client.expect("RZ", Some("Z")).await;
        stage.worker.close_socket(&socket, OnDisconnect::Keep);
        run(&mut client, &mut server, "SELECT 1", "SELECT 1", b'I').await;
    })
    .await;
}

#[tokio::test]
async fn a_context_lasts_as_long_as_its_socket() {
    play(async {
        let (stage, socket) = with_socket();
        let long_ago = stage.now() - Duration::from_secs(3600);
        let (mut client, _) = stage.client_of_socket("alice", &socket, long_ago);
        let mut server = stage.accept().await;
        client.expect("RZ", Some("Z")).await;
        run(&mut client, &mut server, "SELECT 1", "SELECT 1", b'I').await;
        stage.worker.close_socket(&socket, OnDisconnect::Keep);
        client.send(&[query("SELECT 2")]).await;
        let body = client.expect("E", None).await;
        assert!(String::from_utf8_lossy(&body).contains("28000"));
        client.expect("Z", None).await;
    })
    .await;
}

#[tokio::test]
async fn only_its_own_socket_counts_and_only_while_the_session_lives() {
    play(async {
        let (stage, socket) = with_socket();
        let (bobs, later) = (stage.open_socket("bob"), stage.open_socket("alice"));
        // Given: a session of one socket, and one whose token names a socket of another user, which nobody has signed for good.
        let (mut client, _) = stage.client_of_socket("alice", &socket, stage.now());
        let mut server = stage.accept().await;
        client.expect("RZ", Some("Z")).await;
        let (mut crossed, _) = stage.client_of_socket("alice", &bobs, stage.now());
        crossed.expect("RKZ", None).await;
        stage.worker.close_socket(&later, OnDisconnect::Cancel);
        stage.worker.close_socket(&bobs, OnDisconnect::Cancel);
        run(&mut client, &mut server, "SELECT 1", "SELECT 1", b'I').await;
        run(&mut crossed, &mut server, "SELECT 1", "SELECT 1", b'I').await;
        // When the session has ended first, its socket has nobody to tell.
        drop(client);
        settle().await;
        stage.worker.close_socket(&socket, OnDisconnect::Cancel);
        stage.worker.close_socket(&socket, OnDisconnect::Cancel);
        run(&mut crossed, &mut server, "SELECT 1", "SELECT 1", b'I').await;
    })
    .await;
}
