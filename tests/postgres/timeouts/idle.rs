//! `idle` and `lifetime`: when a server connection is closed; and no clock at all.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

use super::until_counted;

#[tokio::test]
async fn idle_closes_a_server_connection_that_nobody_uses() {
    let stage = Stage::start(Policy::trusted().timeouts("idle: 300ms")).await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    let before = alice.server_pid().await;
    until_counted(&stage, "idle").await;
    stage.until_no_server_session(&admin).await;
    assert_ne!(alice.server_pid().await, before);
}

#[tokio::test]
async fn lifetime_renews_a_server_connection_between_transactions_and_never_inside() {
    let stage = Stage::start(Policy::trusted().timeouts("lifetime: 500ms, idle: 30s")).await;
    let alice = stage.user("alice").await;
    alice.run("BEGIN").await;
    let inside = alice.server_pid().await;
    alice.run("SELECT pg_sleep(0.8)").await;
    assert_eq!(alice.server_pid().await, inside);
    alice.run("COMMIT").await;
    wait::until("another server connection", || async {
        alice.server_pid().await != inside
    })
    .await;
    until_counted(&stage, "lifetime").await;
}

#[tokio::test]
async fn zero_switches_a_timeout_off() {
    let policy =
        Policy::trusted().timeouts("statement: 0s, transaction: 0s, idleInTransaction: 0s");
    let stage = Stage::start(policy).await;
    let alice = stage.user("alice").await;
    alice.run("BEGIN; SELECT pg_sleep(0.5)").await;
    alice.run("COMMIT").await;
    let reach = alice.text("SHOW statement_timeout").await;
    assert_eq!(reach.as_deref(), Some("0"));
}
