//! `transaction` and `idleInTransaction`: what a client holds open.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;

use super::{names, until_counted};

#[tokio::test]
async fn transaction_ends_while_the_client_is_idle_and_says_so_at_its_next_message() {
    let policy = Policy::trusted().timeouts("transaction: 400ms, idleInTransaction: 20s");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
        .await;
    until_counted(&stage, "transaction").await;

    // An error to an idle client would be illegal; and the server has nothing to do with it any more.
    assert!(!wire.says_something(Duration::from_millis(50)).await);
    wait::until("the server's release", || async {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND state LIKE 'idle in transaction%'";
        admin.text(open).await.as_deref() == Some("0")
    })
    .await;

    let answer = wire.query("SELECT 1").await;
    assert_eq!(answer.refusal().code, "25P04", "{answer:?}");
    names(&answer.refusal(), "transaction", "400ms");
    assert_eq!(answer.status(), 'E');
    assert_eq!(wire.query("ROLLBACK").await.status(), 'I');
    assert_eq!(
        wire.query("SELECT count(*) FROM notes")
            .await
            .value()
            .as_deref(),
        Some("0")
    );
}

#[tokio::test]
async fn transaction_ends_a_statement_that_is_running() {
    let policy = Policy::trusted().timeouts("transaction: 400ms, statement: 20s");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    let answer = wire.query("SELECT pg_sleep(30)").await;
    assert_eq!(answer.refusal().code, "25P04", "{answer:?}");
    names(&answer.refusal(), "transaction", "400ms");
    assert_eq!(answer.status(), 'E');
    assert_eq!(wire.query("ROLLBACK").await.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
    until_counted(&stage, "transaction").await;
}

#[tokio::test]
async fn idle_in_transaction_rolls_back_and_keeps_the_client_in_a_failed_transaction() {
    let policy = Policy::trusted()
        .timeouts("idleInTransaction: 300ms")
        .pool("perUser: {max: 1}");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
        .await;
    until_counted(&stage, "idle_in_transaction").await;
    assert!(!wire.says_something(Duration::from_millis(50)).await);

    // The server connection is another client's by now.
    let other = stage.user("alice").await;
    assert_eq!(
        other.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("0")
    );

    // The reason, until the client ends the transaction.
    for _ in 0..2 {
        let answer = wire.query("SELECT 1").await;
        assert_eq!(answer.refusal().code, "25P03", "{answer:?}");
        names(&answer.refusal(), "idleInTransaction", "300ms");
        assert_eq!(answer.status(), 'E');
    }
    let answer = wire
        .exchange(&[send::run_unnamed("SELECT 1"), send::sync()])
        .await;
    assert_eq!(answer.tags(), "EZ");
    names(&answer.refusal(), "idleInTransaction", "300ms");

    // COMMIT of what failed is a ROLLBACK, as on the server.
    let answer = wire.query("COMMIT").await;
    assert_eq!(answer.commands(), ["ROLLBACK"]);
    assert_eq!(answer.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn idle_in_transaction_recovers_with_rollback_of_the_extended_protocol() {
    let policy = Policy::trusted().timeouts("idleInTransaction: 300ms");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    wire.exchange(&[send::run_unnamed("BEGIN"), send::sync()])
        .await;
    wire.exchange(&[send::run_unnamed("SELECT 1"), send::sync()])
        .await;
    until_counted(&stage, "idle_in_transaction").await;
    let answer = wire
        .exchange(&[send::run_unnamed("ROLLBACK"), send::sync()])
        .await;
    assert_eq!(answer.tags(), "12CZ");
    assert_eq!(answer.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_client_that_keeps_working_is_not_idle_in_its_transaction() {
    let policy = Policy::trusted().timeouts("idleInTransaction: 400ms");
    let stage = Stage::start(policy).await;
    let alice = stage.user("alice").await;
    alice.run("BEGIN").await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1000) {
        alice.run("SELECT pg_sleep(0.05)").await;
    }
    // A long statement is not idleness either.
    alice.run("SELECT pg_sleep(0.6)").await;
    alice.run("COMMIT").await;
}

#[tokio::test]
async fn timeouts_hold_in_session_mode_too() {
    let policy = Policy::trusted()
        .in_session_mode()
        .timeouts("statement: 300ms, idleInTransaction: 400ms");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    assert_eq!(
        wire.query("SELECT pg_sleep(30)").await.refusal().code,
        "57014"
    );
    wire.query("BEGIN").await;
    wire.query("SELECT 1").await;
    until_counted(&stage, "idle_in_transaction").await;
    assert_eq!(wire.query("SELECT 1").await.refusal().code, "25P03");
    assert_eq!(wire.query("ROLLBACK").await.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}
