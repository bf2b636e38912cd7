//! A server that is there no more, and nobody has said so: bytes go out and nothing ever comes back, neither an answer nor an end.

use std::time::{Duration, Instant};

use bulkhead_tests::listeners::Link;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{Wire, send};

use super::policy;

/// How long a server may take to come back from a cancel, and some more for a busy machine.
const LIMIT: Duration = Duration::from_secs(8);

async fn linked(policy: Policy) -> (Link, Stage) {
    let link = Link::to(Server::shared().place().port).await;
    let policy = policy.pool("perUser: {max: 1}");
    let stage = Stage::with(policy).upstream(link.port()).start().await;
    (link, stage)
}

async fn answers(wire: &mut Wire, value: &str) {
    let answer = wire.query(&format!("SELECT '{value}'")).await;
    assert_eq!(answer.value().as_deref(), Some(value), "{answer:?}");
}

#[tokio::test]
async fn a_statement_on_a_half_open_connection_ends_with_its_timeout_and_the_next_has_a_new_one() {
    // Given alice and bob with a connection each, of which nobody knows that they lead nowhere,
    let (link, stage) = linked(policy().timeouts("statement: 400ms")).await;
    let mut alice = stage.wire_of("alice").await;
    let mut bob = stage.wire_of("bob").await;
    let lost = (alice.server_pid().await, bob.server_pid().await);
    link.black_hole();
    // then who is new is served meanwhile,
    let start = Instant::now();
    alice.send(send::query("SELECT 'alice'")).await;
    let mut carol = stage.wire_of("carol").await;
    answers(&mut carol, "carol").await;
    // alice's statement ends with the timeout's name,
    let refusal = alice.until_ready().await.refusal();
    assert_eq!(refusal.code, "57014", "{refusal:?}");
    assert!(
        refusal.says("databases[main].timeouts.statement"),
        "{refusal:?}"
    );
    wait::no_longer_than(LIMIT, start);
    // and she goes on at once, on another connection, as bob does when his time is over too.
    answers(&mut alice, "again").await;
    assert_eq!(bob.query("SELECT 1").await.refusal().code, "57014");
    answers(&mut bob, "again").await;
    let now = (alice.server_pid().await, bob.server_pid().await);
    assert!(now.0 != lost.0 && now.1 != lost.1, "{lost:?} {now:?}");
}

#[tokio::test]
async fn a_cancel_on_a_half_open_connection_ends_it_without_any_timeout() {
    for policy in [policy(), policy().in_session_mode()] {
        let pinned = policy.text().contains("Session");
        let (link, stage) = linked(policy.timeouts("statement: 60s")).await;
        let mut alice = stage.wire_of("alice").await;
        answers(&mut alice, "before").await;
        link.black_hole();
        alice.send(send::query("SELECT 'lost'")).await;
        stage
            .until_metric("bulkhead_executions", &[("state", "running")], 1.0)
            .await;
        // The cancel has a connection of its own, which is not lost; the answer to it is.
        let (pid, secret) = alice.key.clone().unwrap();
        let mut request = stage.wire().await;
        let start = Instant::now();
        request.send(send::cancel(pid, &secret)).await;
        request.until_closed().await;
        let error = alice.until(b'E').await;
        let refusal = error.refusal();
        assert_eq!(refusal.code, "57014", "{refusal:?}");
        wait::no_longer_than(LIMIT, start);
        if pinned {
            assert_eq!(refusal.severity, "FATAL");
            alice.until_closed().await;
            alice = stage.wire_of("alice").await;
        } else {
            alice.until_ready().await;
        }
        answers(&mut alice, "after").await;
    }
}

#[tokio::test]
async fn a_transaction_on_a_half_open_connection_ends_with_its_clients_silence() {
    let (link, stage) = linked(policy().timeouts("idleInTransaction: 400ms, acquire: 9s")).await;
    let mut alice = stage.wire_of("alice").await;
    alice.query("BEGIN").await;
    alice
        .query("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
        .await;
    link.black_hole();
    let timeout = [("kind", "idle_in_transaction")];
    stage
        .until_metric("bulkhead_timeouts_total", &timeout, 1.0)
        .await;
    // The ROLLBACK is never answered. What she says next is not tied to that; her next transaction waits for the old connection's
    // end, because she may have one.
    let start = Instant::now();
    let told = alice.query("SELECT 1").await;
    assert_eq!(told.refusal().code, "25P03", "{told:?}");
    assert_eq!(alice.query("ROLLBACK").await.commands(), ["ROLLBACK"]);
    answers(&mut alice, "on").await;
    wait::no_longer_than(LIMIT, start);
    let notes = alice.query("SELECT count(*) FROM notes").await;
    assert_eq!(notes.value().as_deref(), Some("0"));
}
