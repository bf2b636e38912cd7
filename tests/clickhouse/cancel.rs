//! Queries that nobody waits for any more are ended on the server.

use std::time::Duration;

use bulkhead_tests::clickhouse::{Server, Stage, curl, trusted};
use bulkhead_tests::tools::run;
use bulkhead_tests::wait;

fn slow(mark: &str) -> String {
    format!("SELECT sleepEachRow(1) /* {mark} */ FROM numbers(60) SETTINGS max_block_size = 1")
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_query_along() {
    let stage = Stage::start(&trusted());
    let client = stage.begin("alice", &slow("gone"));
    Server::shared().until_running("/* gone */", 1).await;
    drop(client);
    Server::shared().until_running("/* gone */", 0).await;
    let labels = [("upstream", "main"), ("state", "active")];
    wait::until("the connection to be given up", || async {
        stage
            .sidecar
            .metric("bulkhead_server_connections", &labels)
            .abs()
            < f64::EPSILON
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_waits_leaves_the_queue() {
    let stage = Stage::start(&trusted().pool("perUser: {max: 1}").timeouts("acquire: 30s"));
    let first = stage.begin("alice", &slow("holding"));
    Server::shared().until_running("/* holding */", 1).await;
    let waiting = stage.begin("alice", &slow("queued"));
    let states = [("state", "pending")];
    wait::until("the second to wait", || async {
        stage.sidecar.metric("bulkhead_executions", &states) > 0.5
    })
    .await;
    drop(waiting);
    wait::until("the queue to be empty", || async {
        stage.sidecar.metric("bulkhead_executions", &states) < 0.5
    })
    .await;
    drop(first);
    Server::shared().until_running("/* holding */", 0).await;
    assert_eq!(Server::shared().running("/* queued */"), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_an_answer_does_too() {
    let stage = Stage::start(&trusted());
    let url = stage.url("/?buffer_size=1");
    let query = "SELECT arrayStringConcat(arrayMap(x -> 'x', range(200000))), sleepEachRow(0.05) /* reading */ FROM numbers(100000) SETTINGS max_block_size = 1";
    let answer = curl(
        &[
            "--max-time",
            "2",
            "-H",
            "X-Bulkhead-User: alice",
            "--data-binary",
            query,
            &url,
        ],
        "",
    )
    .await;
    assert!(answer.status == 200 && !answer.exit, "{answer:?}");
    Server::shared().until_running("/* reading */", 0).await;
}

#[tokio::test]
async fn an_administrator_ends_a_users_queries() {
    let stage = Stage::start(&trusted());
    let query = slow("killed");
    let ask = stage.query_with("alice", "wait_end_of_query=1", &query);
    let kill = async {
        Server::shared().until_running("/* killed */", 1).await;
        let mut psql = tokio::process::Command::new(bulkhead_tests::programs::postgresql("psql"));
        psql.env("PGHOST", stage.sidecar.home())
            .env("PGUSER", "admin")
            .env("PGDATABASE", "bulkhead")
            .args(["-X", "-A", "-t", "-c", "KILL USER 'alice'"]);
        run(psql, "").await.check();
    };
    let (answer, ()) = tokio::join!(ask, kill);
    answer.is_error(500, 394, "KILL USER");
    Server::shared().until_running("/* killed */", 0).await;
    assert_eq!(stage.query("alice", "SELECT 1").await.rows(), "1");
}

#[tokio::test]
async fn a_sidecar_that_stops_ends_what_still_runs() {
    let mut stage = Stage::start(&trusted());
    let client = stage.begin("alice", &slow("stopping"));
    Server::shared().until_running("/* stopping */", 1).await;
    stage.sidecar.terminate();
    stage.sidecar.ends_well(Duration::from_secs(15));
    Server::shared().until_running("/* stopping */", 0).await;
    drop(client);
}
