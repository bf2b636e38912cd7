//! An upstream that is not there, and one that goes.

use bulkhead_tests::clickhouse::{Server, Stage, curl, trusted};
use bulkhead_tests::processes::free_port;
use bulkhead_tests::wait;

#[tokio::test]
async fn a_dead_upstream_opens_the_breaker() {
    let policy = trusted().database("breaker: {failures: 3, window: 60s, open: 60s}");
    let stage = Stage::before(free_port(), &policy.timeouts("connect: 1s"), &[]);
    for _ in 0..3 {
        let answer = stage.query("alice", "SELECT 1").await;
        assert!(
            answer.status == 503 && answer.body.contains("databases[main].upstream"),
            "{answer:?}"
        );
    }
    let refused = stage.query("bob", "SELECT 1").await;
    refused.is_error(503, 279, "breaker.failures = 3");
    assert!(refused.header("retry-after").is_some());
    curl(&[&stage.url("/ping")], "")
        .await
        .is_error(503, 279, "is not dialled");
    let state = stage
        .sidecar
        .metric("bulkhead_breaker_state", &[("upstream", "main")]);
    assert!((state - 2.0).abs() < f64::EPSILON, "{state}");
}

#[tokio::test]
async fn a_server_that_is_killed_is_an_error_for_who_waits_and_nothing_to_who_comes_later() {
    let mut server = Server::own();
    let stage = Stage::before(server.port, &trusted().timeouts("connect: 2s"), &[]);
    assert_eq!(stage.query("bob", "SELECT 1").await.rows(), "1");
    let query = "SELECT sleepEachRow(1) /* dying */ FROM numbers(60) SETTINGS max_block_size = 1";
    let ask = stage.query_with("alice", "wait_end_of_query=1", query);
    tokio::pin!(ask);
    tokio::select! {
        _ = &mut ask => panic!("it must not end by itself"),
        () = server.until_running("/* dying */", 1) => {}
    }
    server.kill();
    let answer = ask.await;
    answer.is_error(500, 210, "the connection was lost while the query ran");
    assert!(
        answer.body.contains("Whether it was done is not known"),
        "{answer:?}"
    );
    server.start();
    wait::until("the server to be used again", || async {
        stage.query("bob", "SELECT 2").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn credentials_that_the_server_does_not_take_are_the_policys_fault() {
    let stage = Stage::start(&trusted());
    stage.sidecar.write_secret("db/password", "another");
    wait::until("the new password to be read", || async {
        stage.query("alice", "SELECT 1").await.status == 403
    })
    .await;
    let refused = stage.query("alice", "SELECT 1").await;
    refused.is_error(403, 516, "databases[main].upstream.credentialsSecretRef");
    assert!(!refused.body.contains("another"), "{refused:?}");
}
