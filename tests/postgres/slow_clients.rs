//! Clients that stop in the middle: of a message, of a COPY, of reading. They hold nothing for longer than the policy says.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;

/// Another client of the same user must be served, though the first holds their only server connection.
async fn freed(stage: &Stage) {
    let start = Instant::now();
    let again = stage.user("alice").await;
    assert_eq!(again.text("SELECT 'free'").await.as_deref(), Some("free"));
    wait::no_longer_than(Duration::from_secs(8), start);
}

fn one_connection(timeouts: &str) -> Policy {
    Policy::trusted()
        .pool("perUser: {max: 1}")
        .timeouts(&format!("acquire: 9s, {timeouts}"))
}

#[tokio::test]
async fn half_a_query_that_was_begun_ends_with_statement() {
    let stage = Stage::start(one_connection("statement: 400ms")).await;
    stage.user("alice").await.close().await;
    let mut wire = stage.wire_of("alice").await;
    let whole = send::query(&format!("SELECT length('{}')", "x".repeat(1 << 20)));
    wire.send(&whole[..200_000]).await;
    freed(&stage).await;
}

#[tokio::test]
async fn half_a_bind_inside_a_transaction_ends_with_its_timeouts() {
    let stage = Stage::start(one_connection(
        "statement: 2s, transaction: 500ms, idleInTransaction: 400ms",
    ))
    .await;
    stage.user("alice").await.close().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    let big = "x".repeat(1 << 20);
    let whole = [
        send::parse("", "SELECT length($1)"),
        send::bind("", "", &[&big]),
    ]
    .concat();
    wire.send(&whole[..200_000]).await;
    freed(&stage).await;
}

#[tokio::test]
async fn a_few_bytes_of_a_message_hold_no_server_connection_between_transactions() {
    let stage = Stage::start(one_connection("statement: 20s")).await;
    stage.user("alice").await.close().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("SELECT 1").await;
    wire.send(&send::query("SELECT 'never sent whole'")[..10])
        .await;
    let start = Instant::now();
    freed(&stage).await;
    wait::no_longer_than(Duration::from_secs(2), start);
}

#[tokio::test]
async fn a_copy_whose_client_stops_sending_ends_with_transaction() {
    let stage = Stage::start(one_connection("transaction: 500ms")).await;
    stage.user("alice").await.close().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query("COPY things FROM STDIN")).await;
    wire.until(b'G').await;
    wire.send(send::copy_data(b"7001\tstuck\n")).await;
    freed(&stage).await;
    let count = stage
        .admin()
        .await
        .text("SELECT count(*) FROM things WHERE id = 7001")
        .await;
    assert_eq!(count.as_deref(), Some("0"));
    // And it is told, in whatever way ends a COPY.
    let told = wire.until(b'E').await.refusal();
    assert!(
        told.says("databases[main].timeouts.transaction"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_copy_whose_client_stops_reading_ends_with_transaction() {
    let stage = Stage::start(one_connection("transaction: 3s")).await;
    let admin = stage.admin().await;
    stage.user("alice").await.close().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query(
        "COPY (SELECT repeat('x', 1000), generate_series(1, 100000000)) TO STDOUT",
    ))
    .await;
    stage.until_stuck_in_write(&admin).await;
    freed(&stage).await;
}

/// A batch that has written something, and whose client has got every answer and sends no Sync.
async fn a_batch_without_sync(timeouts: &str, field: &str) {
    let stage = Stage::start(one_connection(timeouts)).await;
    stage.user("alice").await.close().await;
    let mut wire = stage.wire_of("alice").await;
    let written = "INSERT INTO notes (owner, body) VALUES ('alice', 'lost')";
    wire.send([send::run_unnamed(written), send::flush()].concat())
        .await;
    wire.until(b'C').await;
    freed(&stage).await;
    let error = wire.exchange(&[send::sync()]).await;
    assert!(error.refusal().says(field), "{error:?}");
    assert_eq!(error.status(), 'I');
    let notes = wire.query("SELECT count(*) FROM notes").await;
    assert_eq!(notes.value().as_deref(), Some("0"), "it is rolled back");
}

#[tokio::test]
async fn a_batch_without_its_sync_ends_with_transaction() {
    a_batch_without_sync("transaction: 500ms", "databases[main].timeouts.transaction").await;
}

#[tokio::test]
async fn a_batch_without_its_sync_ends_with_idle_in_transaction() {
    a_batch_without_sync(
        "statement: 200ms, idleInTransaction: 500ms",
        "databases[main].timeouts.idleInTransaction",
    )
    .await;
}

#[tokio::test]
async fn a_batch_that_failed_and_has_no_sync_ends_with_idle_in_transaction() {
    let stage = Stage::start(one_connection("idleInTransaction: 500ms")).await;
    stage.user("alice").await.close().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send([send::run_unnamed("SELECT 1/0"), send::flush()].concat())
        .await;
    wire.until(b'E').await;
    freed(&stage).await;
    assert_eq!(wire.exchange(&[send::sync()]).await.tags(), "Z");
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_client_that_thinks_after_flush_is_no_slow_statement() {
    let stage = Stage::start(one_connection("statement: 200ms, idleInTransaction: 20s")).await;
    let mut wire = stage.wire_of("alice").await;
    let describe = [
        send::parse("", "SELECT 1"),
        send::describe_statement(""),
        send::flush(),
    ];
    wire.send(describe.concat()).await;
    wire.until(b'T').await;
    assert!(!wire.says_something(Duration::from_millis(500)).await);
    let rest = [send::bind("", "", &[]), send::execute("", 0), send::sync()];
    let answer = wire.exchange(&rest).await;
    assert_eq!(answer.tags(), "2DCZ", "{answer:?}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_big_answer_frees_its_connection() {
    let stage = Stage::start(one_connection("statement: 20s")).await;
    let admin = stage.admin().await;
    stage.user("alice").await.close().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query(
        "SELECT repeat('x', 1000), generate_series(1, 100000000)",
    ))
    .await;
    stage.until_stuck_in_write(&admin).await;
    drop(wire);
    freed(&stage).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_leaves_the_queue() {
    let stage = Stage::start(one_connection("statement: 20s")).await;
    let holder = stage.user("alice").await;
    let mut waiters = Vec::new();
    for _ in 0..5 {
        waiters.push(stage.wire_of("alice").await);
    }
    holder.run("BEGIN; SELECT 1").await;
    for wire in &mut waiters {
        wire.send(send::query(
            "INSERT INTO things SELECT 7100 + count(*) FROM things WHERE id >= 7100",
        ))
        .await;
    }
    drop(waiters);
    let last = stage.user("alice").await;
    let mine = last.simple_query("SELECT 'mine'");
    let commit = holder.simple_query("COMMIT");
    let (mine, commit) = tokio::join!(mine, commit);
    commit.unwrap();
    mine.unwrap();
}
