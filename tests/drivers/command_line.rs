//! psql, pg_dump, pg_restore and pgbench.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;

use crate::{Tokens, reset, session_mode, stage, transaction_mode};

/// What people and scripts do with psql: variables, several results, COPY from the script, a cursor, notifications, errors.
const SCRIPT: &str = r"
\set three 3
SELECT current_setting('app.user_id');
SELECT name FROM things WHERE id = :three;
SELECT 1 \; SELECT 2;
\copy things from stdin
10000	copied
\.
\copy (SELECT name FROM things WHERE id >= 10000) to stdout
\set FETCH_COUNT 17
SELECT count(*) FROM (SELECT n FROM generate_series(1, 100) n) s;
SELECT n FROM generate_series(1, 40) n OFFSET 38;
\unset FETCH_COUNT
LISTEN news;
NOTIFY news, 'hello';
\set ON_ERROR_STOP off
SELECT 1 / 0;
\echo :SQLSTATE
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT 1 / 0;
SELECT 'goes on';
COMMIT;
SELECT length(repeat('long ', 4000000));
DELETE FROM things WHERE id >= 10000;
\d gate
";

async fn psql(stage: &Stage, tokens: &Tokens) {
    let said = stage
        .client("psql", &tokens["alice"], &["-XqAt"], SCRIPT)
        .await;
    let lines: Vec<_> = said.output.lines().collect();
    let begins = ["alice", "thing 3", "1", "2", "copied", "100", "39", "40"];
    assert_eq!(lines[..begins.len()], begins, "{}", said.errors);
    assert!(
        said.output
            .contains("Asynchronous notification \"news\" with payload \"hello\""),
        "{}",
        said.output
    );
    for line in ["22012", "goes on", "20000000", "id|integer||not null|"] {
        assert!(
            lines.contains(&line),
            "{line} is missing:\n{}\n{}",
            said.output,
            said.errors
        );
    }
}

/// A dump of what the role may read, taken and put back through the sidecar.
async fn dump(stage: &Stage, tokens: &Tokens) {
    let token = &tokens["alice"];
    // A sequence that the role may not read would stop it, as it does direct; so would notes, which is another's.
    let plain = ["--table=things", "--no-owner"];
    let dumped = stage.client("pg_dump", token, &plain, "").await.well();
    assert!(dumped.contains("100\tthing 100\n"), "{dumped}");
    let folder = bulkhead_tests::processes::folder("dump");
    let file = folder.join("things.dump");
    let file = file.to_str().unwrap();
    let custom = [
        "--format=custom",
        "--data-only",
        "--table=things",
        "--file",
        file,
    ];
    stage.client("pg_dump", token, &custom, "").await.check();
    stage
        .client("psql", token, &["-XqAt", "-c", "DELETE FROM things"], "")
        .await
        .check();
    let restore = ["--data-only", "--dbname", stage.database.as_str(), file];
    stage
        .client("pg_restore", token, &restore, "")
        .await
        .check();
    let count = ["-XqAt", "-c", "SELECT count(*), max(name) FROM things"];
    let count = stage.client("psql", token, &count, "").await.well();
    assert_eq!(count, "100|thing 99\n");
}

async fn works(policy: Policy) {
    let (stage, tokens) = stage(policy).await;
    psql(&stage, &tokens).await;
    dump(&stage, &tokens).await;
}

#[tokio::test]
async fn psql_and_pg_dump_work_in_transaction_mode() {
    works(transaction_mode()).await;
}

#[tokio::test]
async fn psql_and_pg_dump_work_in_session_mode() {
    works(session_mode()).await;
}

#[tokio::test]
async fn psql_and_pg_dump_work_in_tier_reset() {
    works(reset()).await;
}
