//! `acquire`: the wait for a server connection.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::send;

use super::{names, until_counted};

#[tokio::test]
async fn acquire_ends_the_wait_for_ones_own_second_connection_and_leaves_the_client_usable() {
    let policy = Policy::trusted()
        .pool("perUser: {max: 1}")
        .timeouts("acquire: 300ms");
    let stage = Stage::start(policy).await;
    let (one, two) = (stage.user("alice").await, stage.user("alice").await);
    one.run("BEGIN; SELECT 1").await;

    let refusal = two.refused("SELECT 1").await;
    assert_eq!(refusal.code, "53300", "{refusal:?}");
    names(&refusal, "acquire", "300ms");
    until_counted(&stage, "acquire").await;

    one.run("COMMIT").await;
    assert_eq!(two.text("SELECT 2").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn acquire_ends_the_wait_for_the_upstreams_limit() {
    let policy = Policy::trusted()
        .pool("maxConnections: 1, perUser: {max: 1}")
        .timeouts("acquire: 300ms");
    let stage = Stage::start(policy).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    alice.run("BEGIN; SELECT 1").await;
    let refusal = bob.refused("SELECT 1").await;
    names(&refusal, "acquire", "300ms");
    alice.run("COMMIT").await;
    assert_eq!(bob.text("SELECT 2").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn acquire_in_the_extended_protocol_discards_to_sync() {
    let policy = Policy::trusted()
        .pool("perUser: {max: 1}")
        .timeouts("acquire: 300ms");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    let holder = stage.user("alice").await;
    holder.run("BEGIN; SELECT 1").await;
    let answer = wire
        .exchange(&[
            send::run_unnamed("SELECT 1"),
            send::run_unnamed("SELECT 2"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "EZ");
    assert_eq!(answer.status(), 'I');
    holder.run("COMMIT").await;
    assert_eq!(wire.query("SELECT 3").await.value().as_deref(), Some("3"));
}
