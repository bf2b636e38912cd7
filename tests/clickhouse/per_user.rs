//! `upstream.role: PerUser`: each user's queries run as a ClickHouse user of their own, and that is the boundary.

use bulkhead_tests::clickhouse::{Server, Stage, trusted};

#[tokio::test]
async fn a_user_is_a_user_of_the_servers_and_sees_what_that_one_may() {
    let server = Server::shared();
    server.direct("CREATE TABLE IF NOT EXISTS alices.notes (a String) ENGINE = Memory");
    server.direct("CREATE TABLE IF NOT EXISTS bobs.notes (a String) ENGINE = Memory");
    let stage = Stage::start(&trusted().database("upstream: {role: PerUser, database: alices}"));
    let who =
        "SELECT user FROM system.processes WHERE query LIKE '%/* who is it */%' /* who is it */";
    assert_eq!(stage.query("alice", who).await.rows(), "bulkhead_alice");
    let own = stage
        .query("alice", "SELECT count() FROM alices.notes")
        .await;
    assert_eq!(own.rows(), "0");
    let others = stage.query("alice", "SELECT count() FROM bobs.notes").await;
    assert!(others.body.starts_with("Code: 291,"), "{others:?}");
    let bob = stage
        .query_with("bob", "database=bobs", "SELECT count() FROM bobs.notes")
        .await;
    assert_eq!(bob.rows(), "0");
}

#[tokio::test]
async fn a_user_whom_the_server_does_not_know_is_told_what_to_create() {
    let stage = Stage::start(&trusted().database("upstream: {role: PerUser, database: alices}"));
    let unknown = stage.query("carol", "SELECT 1").await;
    unknown.is_error(
        403,
        516,
        "does not let the ClickHouse user of this end user in",
    );
    assert!(unknown.body.contains("docs/clickhouse.md"), "{unknown:?}");
}

#[tokio::test]
async fn a_template_names_the_servers_user() {
    let policy = trusted()
        .database("upstream: {role: PerUser, database: bobs, userTemplate: 'bulkhead_{user}'}");
    let stage = Stage::start(&policy);
    assert_eq!(stage.query("bob", "SELECT 1 + 1").await.rows(), "2");
}
