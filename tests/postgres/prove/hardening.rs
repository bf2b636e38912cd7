//! The hardening file closes what the second table says that it closes, and ordinary work goes on.

use std::process::Command;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::programs;
use bulkhead_tests::stage::Stage;
use serde_json::Value;

use super::record;

fn hardening() -> String {
    let printed = Command::new(programs::sidecar())
        .args(["prove", "--print-hardening"])
        .output()
        .unwrap();
    assert!(printed.status.success(), "{printed:?}");
    String::from_utf8(printed.stdout).unwrap()
}

/// Each shared thing: its name, whether it is open, and what closes it.
async fn shared(database: &str) -> Vec<(String, String, String)> {
    // One kind of session state is enough: the second table is made in any case.
    let (_, record) = record(Policy::trusted(), database, &["--only", "SET NAMES"]).await;
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let rows = record["shared"].as_array().unwrap().iter();
    rows.map(|row| (text(row, "name"), text(row, "open"), text(row, "closedBy")))
        .collect()
}

#[tokio::test]
async fn it_closes_what_the_table_says_and_can_be_run_again() {
    let database = Server::shared().database().await;
    let before = shared(&database).await;
    let admin = Server::shared().admin(&database).await;
    for _ in 0..2 {
        admin.batch_execute(&hardening()).await.unwrap();
    }
    let after = shared(&database).await;
    let mut closed = 0;
    for ((name, was, closed_by), (_, is, _)) in before.into_iter().zip(after) {
        if was == "skipped" {
            // What is not there (pg_stat_statements, prepared transactions) is not there afterwards either.
            assert_ne!(is, "open", "{name}");
            continue;
        }
        let by_file = closed_by.contains("hardening file");
        if by_file {
            assert_eq!((was.as_str(), is.as_str()), ("open", "closed"), "{name}");
            closed += 1;
        } else {
            assert_eq!(was, is, "{name}: closed by {closed_by}");
        }
    }
    assert!(closed >= 9, "{closed} closed by the file");
}

#[tokio::test]
async fn ordinary_work_goes_on() {
    let stage = Stage::start(Policy::trusted()).await;
    stage
        .admin()
        .await
        .batch_execute(&hardening())
        .await
        .unwrap();
    let alice = stage.user("alice").await;
    alice
        .run("INSERT INTO notes (owner, body) VALUES ('alice', 'hers')")
        .await;
    alice.run("BEGIN").await;
    alice.run("SELECT nextval('numbers')").await;
    alice
        .run("CREATE TEMP TABLE t AS SELECT * FROM things")
        .await;
    alice.run("COMMIT").await;
    let notes = alice.text("SELECT count(*) FROM notes").await;
    assert_eq!(notes.as_deref(), Some("1"));
    // A statement of one's own is still cancelled, by the protocol.
    let sleeping = alice.cancel_token();
    let slept = alice.simple_query("SELECT pg_sleep(60)");
    let cancelled = async {
        loop {
            let _ = sleeping.cancel_query(tokio_postgres::NoTls).await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        slept = slept => assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014"),
        () = cancelled => {}
    }
    // `check` says that it is applied.
    let (code, said) = check(&stage);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("cannot see or end what other sessions of role"),
        "{said}"
    );
}

fn check(stage: &Stage) -> (Option<i32>, String) {
    let home = bulkhead_tests::processes::folder("prove");
    std::fs::write(home.join("policy.yaml"), stage.sidecar.policy().text()).unwrap();
    let checked = Command::new(programs::sidecar())
        .args([
            "check",
            "--environment",
            bulkhead_tests::policy::ENVIRONMENT,
        ])
        .arg("--policy")
        .arg(home.join("policy.yaml"))
        .arg("--secrets")
        .arg(stage.sidecar.secrets())
        .output()
        .unwrap();
    let text = [checked.stdout, checked.stderr].concat();
    (
        checked.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}
