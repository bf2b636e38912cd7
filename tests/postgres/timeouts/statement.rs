//! `statement`: what runs too long is cancelled on the server.

use std::time::{Duration, Instant};

use bulkhead_tests::listeners::Link;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;

use super::{names, until_counted};

#[tokio::test]
async fn statement_is_cancelled_on_the_server_and_the_connection_survives() {
    let policy = Policy::trusted()
        .timeouts("statement: 300ms")
        .pool("perUser: {max: 1}");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    let pid = alice.server_pid().await;

    let start = Instant::now();
    let refusal = alice.refused("SELECT pg_sleep(30)").await;
    assert_eq!(refusal.code, "57014", "{refusal:?}");
    names(&refusal, "statement", "300ms");
    assert!(refusal.says("base"), "the origin is not named: {refusal:?}");
    assert!(start.elapsed() >= Duration::from_millis(300));
    wait::no_longer_than(Duration::from_secs(4), start);

    // The work is over on the server too, and its connection was not thrown away.
    stage
        .until_server(&admin, &format!("pid = {pid} AND state = 'idle'"))
        .await;
    assert_eq!(alice.server_pid().await, pid);
    until_counted(&stage, "statement").await;
}

#[tokio::test]
async fn statement_names_the_overlay_that_it_comes_from() {
    let policy = Policy::trusted()
        .timeouts("statement: 30s")
        .overlay("timeouts: {statement: 250ms}");
    let stage = Stage::start(policy).await;
    let refusal = stage
        .user("alice")
        .await
        .refused("SELECT pg_sleep(30)")
        .await;
    names(&refusal, "statement", "250ms");
    assert!(
        refusal.says("(environment testing, from its overlay)"),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn one_users_timeout_leaves_another_alone() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 600ms")).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    let slow = alice.refused("SELECT pg_sleep(30)");
    let quick = async {
        let mut rounds = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(700) {
            bob.run("SELECT count(*) FROM things").await;
            rounds += 1;
        }
        rounds
    };
    let (refusal, rounds) = tokio::join!(slow, quick);
    assert_eq!(refusal.code, "57014");
    assert!(rounds > 10, "bob came through {rounds} times only");
}

#[tokio::test]
async fn statement_inside_a_transaction_leaves_it_failed_and_rollback_recovers() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 300ms")).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    let answer = wire.query("SELECT pg_sleep(30)").await;
    // What the server had said before its end is not kept from her.
    assert_eq!(answer.tags(), "TEZ");
    assert_eq!(answer.status(), 'E');
    assert_eq!(wire.query("SELECT 1").await.refusal().code, "25P02");
    assert_eq!(wire.query("ROLLBACK").await.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn statement_in_a_pipeline_is_answered_once_and_discards_to_sync() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 300ms")).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire
        .exchange(&[
            send::run_unnamed("SELECT 1"),
            send::run_unnamed("SELECT pg_sleep(30)"),
            send::run_unnamed("SELECT 2"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.refusal().code, "57014");
    names(&answer.refusal(), "statement", "300ms");
    assert!(answer.tags().ends_with("EZ"), "{}", answer.tags());
    assert_eq!(wire.query("SELECT 3").await.value().as_deref(), Some("3"));
}

#[tokio::test]
async fn statement_ends_though_the_client_does_not_read() {
    // Given a client that asks for more than fits on the way and reads none of it,
    let policy = Policy::trusted()
        .timeouts("statement: 3s, acquire: 9s")
        .pool("perUser: {max: 1}");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query(
        "SELECT repeat('x', 1000), generate_series(1, 100000000)",
    ))
    .await;
    stage.until_stuck_in_write(&admin).await;

    // then the server's work ends all the same, and her only connection is free for another client of hers.
    let again = stage.user("alice").await;
    assert_eq!(again.text("SELECT 1").await.as_deref(), Some("1"));
    wait::until("the query's end on the server", || async {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND state = 'active' AND query LIKE '%repeat%' AND usename <> 'postgres'";
        admin.text(running).await.as_deref() == Some("0")
    })
    .await;
    until_counted(&stage, "statement").await;
}

#[tokio::test]
async fn a_server_that_does_not_even_answer_the_cancel_is_left() {
    // Given a link on which nothing comes through any more,
    let server = Server::shared();
    let link = Link::to(server.place().port).await;
    let policy = Policy::trusted()
        .timeouts("statement: 300ms, connect: 1s")
        .pool("perUser: {max: 1}");
    let stage = Stage::with(policy).upstream(link.port()).start().await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    link.freeze();

    // then her statement ends with the timeout, or with the connection's loss, but it ends,
    let start = Instant::now();
    let refusal = alice.refused("SELECT 2").await;
    assert!(
        ["57014", "08006"].contains(&refusal.code.as_str()),
        "{refusal:?}"
    );
    wait::no_longer_than(Duration::from_secs(9), start);

    // and when the network is back she goes on, with another client if she must.
    link.thaw();
    wait::until("alice to be served again", || async {
        match stage.try_options("-c bulkhead.user=alice").await {
            Ok(session) => session.simple_query("SELECT 1").await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}

#[tokio::test]
async fn copy_in_is_bounded_by_the_transaction_and_not_by_the_statement() {
    let policy = Policy::trusted().timeouts("statement: 300ms, transaction: 20s");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query("COPY things FROM STDIN")).await;
    wire.until(b'G').await;
    wire.send(send::copy_data(b"1001\tslow\n")).await;
    stage
        .until_server(
            &admin,
            "query LIKE 'COPY%' AND clock_timestamp() - query_start > interval '600 ms'",
        )
        .await;
    wire.send(send::copy_done()).await;
    let answer = wire.until_ready().await;
    assert_eq!(answer.commands(), ["COPY 1"], "{answer:?}");
}

#[tokio::test]
async fn a_statement_never_answers_with_rows_and_an_end_that_do_not_belong_together() {
    // Given statements that end by themselves just before, just after and in the moment in which their time is over,
    let policy = Policy::trusted()
        .timeouts("statement: 100ms")
        .database("breaker: {failures: 1000}");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    let (mut whole, mut cut) = (0, 0);
    for round in 0..40 {
        let seconds = 0.08 + f64::from(round) * 0.001;
        let sql = format!("SELECT pg_sleep({seconds}), g FROM generate_series(1, 1) g");
        let answer = wire.query(&sql).await;
        // then each has its row and its normal end, or our error.
        match answer.tags().as_str() {
            "TDCZ" => whole += 1,
            "TEZ" | "TDEZ" | "EZ" => {
                names(&answer.refusal(), "statement", "100ms");
                cut += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(whole > 0 && cut > 0, "{whole} whole, {cut} cut");
}
