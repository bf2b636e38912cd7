//! Whole sessions, with the test as their client and as their server.

mod abandoned;
mod hold;
mod killed;
mod lost;
mod overdue;
mod parameters;
mod revoked;
mod signed;
mod silence;
mod socket;
mod statements;

use std::time::Duration;

use tokio::task::LocalSet;

use crate::worker::Signal;
use crate::worker::fixtures::{
    Peer, Stage, complete, error, message, parse, query, ready, settle, sync,
};
use bulkhead_crds::kinds::PoolMode;

/// Runs a test's story where sessions can be spawned.
async fn play(story: impl Future<Output = ()>) {
    LocalSet::new().run_until(story).await;
}

/// Lets time pass without waiting for it.
async fn pass(time: Duration) {
    settle().await;
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
    settle().await;
}

/// A simple query that the server answers with this tag and state.
async fn run(client: &mut Peer, server: &mut Peer, text: &str, tag: &str, status: u8) {
    client.send(&[query(text)]).await;
    server.expect("Q", None).await;
    server.send(&[complete(tag), ready(status)]).await;
    client.expect("CZ", None).await;
    settle().await;
}

#[tokio::test]
async fn a_statement_goes_to_the_server_and_its_answer_to_the_client() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "SELECT 1", "SELECT 1", b'I').await;
        assert_eq!(stage.factory("alice").idle(), 1, "the connection is back");
    })
    .await;
}

#[tokio::test]
async fn a_connection_stays_with_its_client_until_the_transaction_ends() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        assert_eq!(stage.factory("alice").idle(), 0);
        run(&mut client, &mut server, "COMMIT", "COMMIT", b'I').await;
        assert_eq!(stage.factory("alice").idle(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_second_client_is_greeted_without_a_server() {
    play(async {
        let stage = Stage::new(|_| {});
        let (_first, _server) = stage.greeted("alice").await;
        let (mut second, _) = stage.client("bob");
        second.expect("RKZ", None).await;
        assert_eq!(stage.factory("bob").open(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_ends_is_taken_out_of_every_list() {
    play(async {
        let stage = Stage::new(|_| {});
        let (client, server) = stage.greeted("alice").await;
        assert_eq!(stage.process.sessions(), 1);
        drop((client, server));
        settle().await;
        assert_eq!(stage.process.sessions(), 0);
        assert_eq!(stage.factory("alice").clients(), 0);
        assert_eq!(stage.entry.metrics.clients.connections.get(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_logs_in_while_the_worker_drains_is_not_kept() {
    play(async {
        let stage = Stage::new(|_| {});
        let (_first, _server) = stage.greeted("alice").await;
        // Given: the signal has gone to the sessions that there were; then one more comes.
        stage.worker.draining.send_replace(true);
        stage.worker.signal_all(Signal::Drain);
        let (mut late, _) = stage.client("bob");
        late.expect("RKZ", None).await;
        let body = late.expect("E", None).await;
        assert!(String::from_utf8_lossy(&body).contains("57P01"));
        assert!(late.is_closed().await);
    })
    .await;
}

#[tokio::test]
async fn a_connection_of_the_upstream_before_is_not_handed_to_who_waits_under_the_new_revision() {
    play(async {
        let stage = Stage::new(|policy| policy.databases[0].pool.per_user_max = 1);
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        // Given: the upstream changes, and another client of the user's waits for the only seat.
        let (mut waits, _) = stage.client("alice");
        waits.expect("RKZ", None).await;
        stage
            .entry
            .set_force(stage.next_force(|database| database.upstream.port = 5433));
        waits.send(&[query("SELECT 2")]).await;
        settle().await;
        // When: the connection becomes free.
        server.send(&[complete("SELECT 1"), ready(b'I')]).await;
        client.expect("CZ", None).await;
        // Then: it is closed.
        assert!(server.is_closed().await);
    })
    .await;
}

#[tokio::test]
async fn a_cancel_that_failed_may_come_yet_and_the_connection_is_not_reused() {
    play(async {
        let stage = Stage::new(|policy| {
            policy.databases[0].timeouts.statement = None;
            policy.databases[0].timeouts.transaction = None;
        });
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        stage.worker.signal_all(Signal::Cancel);
        let under_way = stage.cancel_request().await;
        server.send(&[complete("SELECT 1"), ready(b'I')]).await;
        client.expect("CZ", None).await;
        settle().await;
        assert_eq!(
            stage.factory("alice").idle(),
            0,
            "not while the request is under way"
        );
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
        tokio::time::resume();
        settle().await;
        assert_eq!(
            stage.factory("alice").idle(),
            0,
            "nor when nobody knows where it is"
        );
        drop(under_way);
    })
    .await;
}

#[tokio::test]
async fn a_clients_next_message_waits_for_its_cancel_to_be_over() {
    play(async {
        // Given: a client that keeps its server connection, and whose statement has been cancelled,
        let stage = Stage::new(|policy| policy.databases[0].pool.mode = PoolMode::Session);
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        stage.worker.signal_all(Signal::Cancel);
        let under_way = stage.cancel_request().await;
        server.send(&[error("57014"), ready(b'I')]).await;
        client.expect("EZ", None).await;
        // when it goes on before the request's connection has closed, then a late cancel finds nothing to hit.
        client.send(&[query("SELECT 2")]).await;
        settle().await;
        assert!(
            server.has_heard_nothing(),
            "the next statement could be hit"
        );
        drop(under_way);
        server.expect("Q", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_says_goodbye_in_a_failed_batch_is_let_go() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("", "SELECT 1")]).await;
        server.expect("P", None).await;
        drop(server);
        client.expect("E", None).await;
        client.send(&[message(b'X', &[])]).await;
        assert!(client.is_closed().await);
    })
    .await;
}

#[tokio::test]
async fn a_sync_inside_a_copy_is_not_left_to_the_moment_at_which_the_server_reads_it() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("mallory").await;
        client.send(&[query("COPY t FROM STDIN")]).await;
        server.expect("Q", None).await;
        server.send(&[message(b'G', &[0, 0, 0])]).await;
        client.expect("G", None).await;
        client
            .send(&[message(b'd', b"bad"), sync(), message(b'c', &[])])
            .await;
        server.expect("dc", None).await;
        server.send(&[error("22P02"), ready(b'I')]).await;
        client.expect("EZ", None).await;
        settle().await;
        assert_eq!(stage.factory("mallory").idle(), 1, "it owes nothing");
    })
    .await;
}

/// The size of a future, without one.
fn size_of_future<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
    size_of::<F>()
}

/// What an idle client holds most of its memory in. Whoever makes one of them larger says why, and what docs/performance.md then says of it.
#[test]
fn an_idle_client_is_small() {
    use crate::factory::{key::FactoryKey, pool::Factory};
    for (what, size, most) in [
        ("session", size_of::<super::Session>(), 656),
        ("task", size_of_future(super::serve), 160),
        (
            "outside of a session",
            size_of::<crate::worker::Handle>(),
            // When its context was issued: what a revocation goes by.
            248,
        ),
        ("factory", size_of::<Factory>(), 176),
        ("factory's key", size_of::<FactoryKey>(), 88),
    ] {
        assert!(size <= most, "{what}: {size} bytes, more than {most}");
    }
}
