//! What a newer server has and 18.16 has not, against the engine of one.

use bulkhead_tests::clickhouse::{Engine, Stage, trusted};

fn stage(session: &str) -> Stage {
    let policy = trusted().database(&format!(
        "{{upstream: {{database: null}}, session: {{{session}}}}}"
    ));
    Stage::before(Engine::shared().port, &policy, &[])
}

#[tokio::test]
async fn the_clients_query_id_is_the_servers_comment_and_the_limit_its_setting() {
    let stage = stage("");
    let query = "SELECT getSetting('log_comment'), getSetting('max_execution_time')";
    let answer = stage.query_with("alice", "query_id=mine", query).await;
    assert_eq!(answer.rows(), "mine\t32");
    assert_eq!(answer.header("x-clickhouse-query-id"), Some("mine"));
    let commented = stage
        .query_with("alice", "query_id=mine&log_comment=theirs", query)
        .await;
    assert_eq!(commented.rows(), "theirs\t32");
}

/// A setting is a convenience: a SETTINGS clause overrides it. The sidecar refuses the one that it sees, and the row policy is as good as
/// that; a boundary is a user of the server's (see `per_user`).
#[tokio::test]
async fn a_row_policy_goes_by_the_setting_and_a_visible_clause_is_refused() {
    let stage = stage("userParameter: promql_database");
    for query in [
        "CREATE DATABASE IF NOT EXISTS chat",
        "CREATE TABLE IF NOT EXISTS chat.notes (owner String, text String) ENGINE = MergeTree ORDER BY owner",
        "INSERT INTO chat.notes VALUES ('alice', 'a'), ('bob', 'b')",
    ] {
        assert_eq!(stage.query("admin-1", query).await.rows(), "");
    }
    let notes = "SELECT owner, text FROM chat.notes";
    assert_eq!(stage.query("alice", notes).await.rows(), "alice\ta");
    assert_eq!(stage.query("bob", notes).await.rows(), "bob\tb");
    for (parameters, query) in [
        ("promql_database=bob", notes.to_owned()),
        ("", format!("{notes} SETTINGS promql_database = 'bob'")),
        ("", "SET promql_database = 'bob'".to_owned()),
    ] {
        stage
            .query_with("alice", parameters, &query)
            .await
            .is_error(403, 452, "promql_database");
    }
}

/// What the sidecar cannot see the server refuses, where its profile has a constraint.
#[tokio::test]
async fn a_constraint_of_the_servers_profile_holds_whatever_is_hidden() {
    let stage = stage("");
    for (parameters, query) in [
        ("max_threads=3", "SELECT 1"),
        ("", "SELECT 1 SETTINGS max_threads = 3"),
    ] {
        let refused = stage.query_with("alice", parameters, query).await;
        assert!(
            refused.status == 500 && refused.body.contains("Code: 452"),
            "{refused:?}"
        );
        assert_eq!(refused.header("x-clickhouse-exception-code"), Some("452"));
    }
}

#[tokio::test]
async fn a_newer_servers_errors_come_through_with_their_code() {
    let stage = stage("");
    let refused = stage.query("alice", "SELECT nonsense").await;
    assert_eq!(
        refused.header("x-clickhouse-exception-code"),
        Some("47"),
        "{refused:?}"
    );
    assert!(refused.body.contains("UNKNOWN_IDENTIFIER"), "{refused:?}");
}
