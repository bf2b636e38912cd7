//! A query passes as it is, as the sidecar's own user, and under an id of the sidecar's.

use bulkhead_tests::clickhouse::{Server, Stage, curl, trusted};

#[tokio::test]
async fn a_query_runs_in_the_body_and_in_the_address() {
    let stage = Stage::start(&trusted());
    assert_eq!(stage.query("alice", "SELECT 1 + 1").await.rows(), "2");
    let header = "X-Bulkhead-User: alice";
    let in_address = stage.url("/?query=SELECT%20'a%26b'%2C+'%2B'");
    let answer = curl(&["-H", header, &in_address], "").await;
    assert_eq!(answer.rows(), "a&b\t+");
    let both = stage.url("/?query=SELECT+1+%2B");
    let answer = curl(&["-H", header, "--data-binary", "41", &both], "").await;
    assert_eq!(answer.rows(), "42");
}

#[tokio::test]
async fn the_servers_own_errors_come_through() {
    let stage = Stage::start(&trusted());
    let answer = stage.query("alice", "SELECT nonsense").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(
        answer.body.starts_with("Code: 47, e.displayText()"),
        "{answer:?}"
    );
    assert_eq!(stage.query("alice", "SELECT 1").await.rows(), "1");
}

#[tokio::test]
async fn the_query_has_the_sidecars_user_and_the_sidecars_id_and_the_client_gets_its_own_back() {
    let stage = Stage::start(&trusted());
    let query = "SELECT user, query_id FROM system.processes WHERE query LIKE '%/* whose id */%' /* whose id */";
    let answer = stage
        .query_with(
            "alice",
            "query_id=mine&user=app%2Balice&password=x&quota_key=z",
            query,
        )
        .await;
    let (user, id) = answer.rows().split_once('\t').unwrap();
    assert_eq!(user, "app");
    assert!(id.starts_with("bulkhead-") && id.len() == 41, "{id}");
    assert_eq!(answer.header("x-clickhouse-query-id"), Some("mine"));
    assert_eq!(answer.header("x-bulkhead-query-id"), Some(id));
    let unnamed = stage.query("alice", "SELECT 1").await;
    assert_eq!(
        unnamed.header("x-clickhouse-query-id"),
        unnamed.header("x-bulkhead-query-id")
    );
}

#[tokio::test]
async fn health_is_answered_by_the_upstream_for_anybody() {
    let stage = Stage::start(&trusted());
    for path in ["/ping", "/", "/replicas_status"] {
        let answer = curl(&[&stage.url(path)], "").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "Ok.\n"),
            "{path}"
        );
    }
    for path in ["/play", "/dashboard", "/metrics", "/nix?query=SELECT+1"] {
        let answer = curl(&["-H", "X-Bulkhead-User: alice", &stage.url(path)], "").await;
        answer.is_error(404, 48, "is not served by the sidecar");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_by_its_user_and_by_nobody_else() {
    let stage = Stage::start(&trusted().pool("perUser: {max: 1}"));
    let port =
        "SELECT port FROM system.processes WHERE query LIKE '%/* whose port */%' /* whose port */";
    let first = stage.query("alice", port).await.rows().to_owned();
    assert_eq!(stage.query("alice", port).await.rows(), first);
    let others = stage.query("bob", port).await.rows().to_owned();
    assert_ne!(others, first);
    assert_eq!(stage.query("alice", port).await.rows(), first);
    let crossed = stage
        .sidecar
        .metric("bulkhead_cross_user_handoffs_total", &[]);
    assert!(crossed.abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_table_is_made_filled_and_read() {
    let stage = Stage::start(&trusted());
    let made = stage
        .query(
            "alice",
            "CREATE TABLE served_notes (a UInt32, b String) ENGINE = Memory",
        )
        .await;
    assert_eq!(made.rows(), "");
    let insert = "query=INSERT+INTO+served_notes+FORMAT+TabSeparated";
    assert_eq!(
        stage
            .query_with("alice", insert, "1\tx\n2\ty\n")
            .await
            .rows(),
        ""
    );
    let read = stage
        .query("bob", "SELECT sum(a), count() FROM served_notes")
        .await;
    assert_eq!(read.rows(), "3\t2");
    Server::shared().direct("DROP TABLE served_notes");
}

#[tokio::test]
async fn a_policys_settings_are_those_of_every_query() {
    let policy =
        trusted().database("session: {parameters: {max_threads: '3', max_block_size: '1000'}}");
    let stage = Stage::start(&policy);
    let query = "SELECT name, value FROM system.settings WHERE name IN ('max_threads', 'max_block_size') ORDER BY name";
    assert_eq!(
        stage.query("alice", query).await.rows(),
        "max_block_size\t1000\nmax_threads\t3"
    );
    let own = stage.query_with("alice", "max_threads=2", query).await;
    assert_eq!(own.rows(), "max_block_size\t1000\nmax_threads\t2");
}

#[tokio::test]
async fn users_are_seen_on_the_control_socket() {
    let stage = Stage::start(&trusted());
    let _ = stage.query("alice", "SELECT 1").await.rows();
    let said = stage.sidecar.command(&["users"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains("alice") && text.contains("curl"), "{text}");
}

#[tokio::test]
async fn a_post_without_a_body_has_a_length() {
    let stage = Stage::start(&trusted());
    let url = stage.url("/?query=SELECT+5");
    let answer = curl(&["-H", "X-Bulkhead-User: alice", "-X", "POST", &url], "").await;
    assert_eq!(answer.rows(), "5");
}
