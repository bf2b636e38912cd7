//! Addresses of upstreams that the command line gives, in the place of DNS.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;

fn elsewhere() -> Policy {
    Policy::trusted().database("upstream: {host: db.chat.example}")
}

#[tokio::test]
async fn an_upstream_is_dialled_at_the_address_that_was_given() {
    let stage = Stage::with(elsewhere())
        .flag("--resolve", "db.chat.example=127.0.0.1")
        .start()
        .await;
    stage.user("alice").await.run("SELECT 1").await;
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_is_of_no_use() {
    // Nothing listens on 127.0.0.9.
    let stage = Stage::with(elsewhere())
        .flag("--resolve", "DB.chat.example.=127.0.0.9")
        .flag("--resolve", "db.chat.example=127.0.0.1")
        .start()
        .await;
    stage.user("alice").await.run("SELECT 1").await;
}

#[tokio::test]
async fn other_hosts_are_looked_up_as_ever() {
    let stage = Stage::with(elsewhere().timeouts("connect: 3s"))
        .flag("--resolve", "other.chat.example=127.0.0.1")
        .start()
        .await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "08001");
    assert!(refusal.says("db.chat.example"), "{refusal:?}");
}
