//! `prove`: the suite finds nothing in `Dedicated`, the known survivors and no more in `Reset`, and can find something at all.

mod hardening;

use std::process::{Command, Output};

use bulkhead_tests::policy::{ENVIRONMENT, Policy};
use bulkhead_tests::postgres::{APP_ROLE, PASSWORD, Server};
use bulkhead_tests::processes::{folder, free_port};
use bulkhead_tests::programs;
use serde_json::Value;

/// What PostgreSQL's ROLLBACK and DISCARD ALL leave, of what this server can have.
const SURVIVORS: [&str; 7] = [
    "that a setting of the application's own was ever set",
    "the session's own schema for temporary objects",
    "the seed of random(), by setseed",
    "a library that was loaded",
    "isn's weak mode",
    "a connection of dblink",
    "a connection of postgres_fdw",
];

/// A database in which extensions keep something, and the application's role may use them.
async fn database() -> String {
    let server = Server::shared();
    let name = server.database().await;
    let admin = server.admin(&name).await;
    let port = server.place().port;
    admin
        .batch_execute(&format!(
            "CREATE EXTENSION pg_trgm; CREATE EXTENSION isn; CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw;
             CREATE SERVER bulkhead_prove_loopback FOREIGN DATA WRAPPER postgres_fdw
                 OPTIONS (host '127.0.0.1', port '{port}', dbname '{name}');
             GRANT USAGE ON FOREIGN SERVER bulkhead_prove_loopback TO {APP_ROLE};
             CREATE USER MAPPING FOR {APP_ROLE} SERVER bulkhead_prove_loopback
                 OPTIONS (user '{APP_ROLE}', password '{PASSWORD}');
             CREATE FOREIGN TABLE bulkhead_prove_foreign (id int, name text) SERVER bulkhead_prove_loopback
                 OPTIONS (table_name 'things');
             GRANT SELECT ON bulkhead_prove_foreign TO {APP_ROLE}"
        ))
        .await
        .unwrap();
    name
}

/// What `prove` says of `policy` before `database`, with further flags.
async fn prove(policy: Policy, database: &str, flags: &[&str]) -> Output {
    let home = folder("prove");
    for (key, text) in [("username", APP_ROLE), ("password", PASSWORD)] {
        std::fs::create_dir_all(home.join("secrets/db")).unwrap();
        std::fs::write(home.join("secrets/db").join(key), text).unwrap();
    }
    let policy = policy.completed(free_port(), Server::shared().place().port, database);
    std::fs::write(home.join("policy.yaml"), policy.text()).unwrap();
    let mut command = Command::new(programs::sidecar());
    command
        .args(["prove", "--environment", ENVIRONMENT, "--policy"])
        .arg(home.join("policy.yaml"))
        .arg("--secrets")
        .arg(home.join("secrets"))
        .args(flags);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

async fn record(policy: Policy, database: &str, flags: &[&str]) -> (Option<i32>, Value) {
    let said = prove(policy, database, &[flags, &["--json"]].concat()).await;
    let record = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)));
    (said.status.code(), record)
}

fn kinds_of<'a>(record: &'a Value, verdict: &str) -> Vec<&'a str> {
    let kinds = record["kinds"].as_array().unwrap().iter();
    kinds
        .filter(|kind| kind["verdict"] == verdict)
        .map(|kind| kind["name"].as_str().unwrap())
        .collect()
}

fn count(record: &Value, what: &str) -> u64 {
    record["summary"][what].as_u64().unwrap()
}

#[tokio::test]
async fn dedicated_lets_nothing_cross() {
    let (code, record) = record(Policy::trusted(), &database().await, &[]).await;
    assert_eq!(kinds_of(&record, "leak"), [""; 0], "{record:#}");
    assert_eq!(kinds_of(&record, "survivor"), [""; 0]);
    assert_eq!((code, &record["verdict"]), (Some(0), &"noLeak".into()));
    assert!(count(&record, "planted") >= 60, "{}", record["summary"]);
    assert!(count(&record, "looks") >= 600, "{}", record["summary"]);
    assert_eq!(count(&record, "sameServerConnection"), 0);
    assert_eq!(count(&record, "crossUserHandoffs"), 0);
    // What could not be planted on this server says why.
    for kind in record["kinds"].as_array().unwrap() {
        if kind["verdict"] == "skipped" {
            let runs = kind["runs"].as_array().unwrap();
            let told = runs.iter().all(|run| run["why"].is_string());
            assert!(
                kind["why"].is_string() || (told && !runs.is_empty()),
                "{kind:#}"
            );
        }
    }
}

#[tokio::test]
async fn reset_lets_the_known_survivors_cross_and_nothing_else() {
    let (code, record) = record(Policy::trusted().tier("Reset"), &database().await, &[]).await;
    assert_eq!(kinds_of(&record, "leak"), [""; 0], "{record:#}");
    let mut survivors = kinds_of(&record, "survivor");
    survivors.sort_unstable();
    let mut expected = SURVIVORS;
    expected.sort_unstable();
    assert_eq!(survivors, expected);
    assert_eq!(code, Some(0));
    assert_eq!(record["verdict"], "knownSurvivorsOnly");
    // It has had the chance: B was where A had been, over and over.
    assert!(count(&record, "planted") >= 60, "{}", record["summary"]);
    assert!(
        count(&record, "sameServerConnection") >= 300,
        "{}",
        record["summary"]
    );
    assert!(count(&record, "crossUserHandoffs") > 0);
}

#[tokio::test]
async fn session_mode_lets_nothing_cross_either() {
    let policy = Policy::trusted().in_session_mode();
    let (code, record) = record(
        policy,
        &database().await,
        &["--only", "temporary", "--only", "set_config"],
    )
    .await;
    assert_eq!(
        (code, &record["verdict"]),
        (Some(0), &"noLeak".into()),
        "{record:#}"
    );
}

#[tokio::test]
async fn the_suite_can_fail() {
    // Given a tier in which connections are everybody's,
    let policy = Policy::trusted().tier("Shared");
    let said = prove(policy, &database().await, &["--only", "settings"]).await;
    // then it says so, in words and by the exit status.
    let table = String::from_utf8_lossy(&said.stdout);
    assert_eq!(said.status.code(), Some(1), "{table}");
    assert!(
        table.contains("LEAK: UPDATE pg_settings: B saw off"),
        "{table}"
    );
    assert!(table.contains(" LEAKS\n"), "{table}");
}

#[tokio::test]
async fn a_server_without_a_pooler_is_an_endpoint_that_leaks_nothing() {
    // Given PostgreSQL itself, where every connection is a session of its own,
    let database = database().await;
    let home = folder("prove");
    let password = home.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let mut command = Command::new(programs::sidecar());
    let endpoint = format!("127.0.0.1:{}", Server::shared().place().port);
    command
        .args(["prove", "--endpoint", &endpoint, "--dbname", &database])
        .args(["--user-a", APP_ROLE, "--user-b", APP_ROLE])
        .args([
            "--only",
            "settings",
            "--only",
            "conversation",
            "--json",
            "--record",
        ])
        .arg(home.join("record.json"))
        .arg("--password-file")
        .arg(&password);
    let said = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let record: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(0), "{record:#}");
    assert_eq!(
        record["target"]["name"],
        format!("endpoint {endpoint}").as_str()
    );
    let kept = std::fs::read(home.join("record.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), record);
    assert!(!String::from_utf8_lossy(&kept).contains(PASSWORD));
}

/// A way to PostgreSQL that is there for so many connections, and then gone: its port.
async fn mortal(lives: usize) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for _ in 0..lives {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let there = ("127.0.0.1", Server::shared().place().port);
                let mut server = tokio::net::TcpStream::connect(there).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn an_endpoint_that_ends_midway_has_proven_nothing() {
    let (database, home) = (database().await, folder("prove"));
    // One question about the server, a look at each of some twenty kinds over both protocols, and then the first kinds.
    let endpoint = format!("127.0.0.1:{}", mortal(300).await);
    let password = home.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let mut command = Command::new(programs::sidecar());
    command
        .args(["prove", "--endpoint", &endpoint, "--dbname", &database])
        .args(["--user-a", APP_ROLE, "--user-b", APP_ROLE])
        .args(["--only", "settings", "--password-file"])
        .arg(&password);
    let said = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{told}");
    assert!(
        told.contains("nobody is let in any more, since this kind was tried ("),
        "{told}"
    );
    assert!(told.contains("ok    settings: "), "none was tried: {told}");
}

#[tokio::test]
async fn what_cannot_be_proven_is_a_failure_that_says_why() {
    let database = database().await;
    for (policy, flags, told) in [
        (
            Policy::trusted(),
            &["--database", "other"][..],
            "--database other",
        ),
        (
            Policy::trusted(),
            &["--only", "nothing of this name"],
            "nothing was planted",
        ),
        (
            Policy::trusted().database("upstream: {credentialsSecretRef: {name: missing}}"),
            &[],
            "missing/username",
        ),
        (
            Policy::trusted().database("upstream: {port: 1}"),
            &[],
            "08001",
        ),
    ] {
        let said = prove(policy, &database, flags).await;
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains(told), "{told}: {text}");
    }
}
