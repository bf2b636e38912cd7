//! `timeouts.statement`: kept by the sidecar, with the server's own limit above it.

use std::time::{Duration, Instant};

use bulkhead_tests::clickhouse::{Server, Stage, trusted};
use bulkhead_tests::wait;

const SLOW: &str =
    "SELECT sleepEachRow(1) /* overdue */ FROM numbers(50) SETTINGS max_block_size = 1";

#[tokio::test]
async fn a_query_that_takes_too_long_is_ended_on_the_server_and_the_client_is_told_why() {
    let stage = Stage::start(&trusted().timeouts("statement: 1s"));
    let start = Instant::now();
    let answer = stage.query_with("alice", "wait_end_of_query=1", SLOW).await;
    wait::no_longer_than(Duration::from_secs(8), start);
    answer.is_error(500, 159, "databases[main].timeouts.statement = 1s");
    assert!(answer.header("x-clickhouse-query-id").is_some());
    Server::shared().until_running("/* overdue */", 0).await;
    let labels = [("upstream", "main"), ("kind", "statement")];
    let counted = stage.sidecar.metric("bulkhead_timeouts_total", &labels);
    assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
    assert_eq!(stage.query("alice", "SELECT 1").await.rows(), "1");
}

#[tokio::test]
async fn an_answer_that_has_begun_ends_with_the_reason_and_not_as_if_it_were_whole() {
    let stage = Stage::start(&trusted().timeouts("statement: 2s"));
    let query = "SELECT arrayStringConcat(arrayMap(x -> 'x', range(300000))), sleepEachRow(0.1) /* streaming overdue */ FROM numbers(1000) SETTINGS max_block_size = 1";
    let answer = stage.query_with("alice", "buffer_size=1", query).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.exit, "curl must see that the answer is not whole");
    assert!(
        answer.body.contains("Code: 159, e.displayText()"),
        "{answer:?}"
    );
    Server::shared()
        .until_running("/* streaming overdue */", 0)
        .await;
}

#[tokio::test]
async fn the_servers_own_limit_stands_two_seconds_above() {
    let stage = Stage::start(&trusted().timeouts("statement: 1500ms"));
    let query = "SELECT value FROM system.settings WHERE name = 'max_execution_time'";
    for (asked, limit) in [
        ("", "4"),
        ("max_execution_time=0", "4"),
        ("max_execution_time=2", "2"),
    ] {
        assert_eq!(
            stage.query_with("alice", asked, query).await.rows(),
            limit,
            "{asked}"
        );
    }
}

#[tokio::test]
async fn without_a_limit_the_server_is_given_none() {
    let stage = Stage::start(&trusted().timeouts("statement: 0s"));
    let query = "SELECT value FROM system.settings WHERE name = 'max_execution_time'";
    assert_eq!(stage.query("alice", query).await.rows(), "0");
}

#[tokio::test]
async fn a_users_own_breaker_opens_and_nobody_elses() {
    let policy = trusted()
        .timeouts("statement: 300ms")
        .database("breaker: {failures: 2, window: 60s, open: 60s}");
    let stage = Stage::start(&policy);
    for _ in 0..2 {
        stage
            .query("alice", "SELECT sleep(2)")
            .await
            .is_error(500, 159, "statement");
    }
    let refused = stage.query("alice", "SELECT 1").await;
    refused.is_error(503, 201, "breaker.failures = 2");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(stage.query("bob", "SELECT 1").await.rows(), "1");
}

#[tokio::test]
async fn a_policy_that_changes_holds_for_the_next_query_and_not_for_the_one_that_runs() {
    let stage = Stage::start(&trusted().timeouts("statement: 59s"));
    let running =
        "SELECT sleepEachRow(1) /* while it changes */ FROM numbers(3) SETTINGS max_block_size = 1";
    let changed = stage.sidecar.policy().text().replace("59s", "1s");
    let (before, ()) = tokio::join!(stage.query("alice", running), async {
        Server::shared()
            .until_running("/* while it changes */", 1)
            .await;
        stage.sidecar.write_policy(&changed);
        wait::until("the change to be in force", || async {
            stage.sidecar.revision()["number"] == 2
        })
        .await;
    });
    assert_eq!(before.rows(), "0\n0\n0");
    let after = stage.query_with("alice", "wait_end_of_query=1", SLOW).await;
    after.is_error(500, 159, "databases[main].timeouts.statement = 1s");
}
