//! What the sidecar tells about itself, where, and what it keeps to itself.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::PASSWORD;
use bulkhead_tests::programs;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tools;

/// The metrics that alerts rely on, of those that PostgreSQL traffic makes.
const NAMES: &[&str] = &[
    "bulkhead_connections_total",
    "bulkhead_connections",
    "bulkhead_factories",
    "bulkhead_factories_created_total",
    "bulkhead_server_connections",
    "bulkhead_acquire_seconds",
    "bulkhead_connect_seconds",
    "bulkhead_query_seconds",
    "bulkhead_timeouts_total",
    "bulkhead_errors_total",
    "bulkhead_cross_user_handoffs_total",
    "bulkhead_identity_rejections_total",
    "bulkhead_unattributed_total",
    "bulkhead_breaker_state",
    "bulkhead_executions",
    "bulkhead_evictions_total",
    "bulkhead_policy_revision",
    "bulkhead_policy_rejections_total",
];

#[tokio::test]
async fn every_promised_metric_is_there_from_the_first_moment() {
    let stage = Stage::start(Policy::trusted()).await;
    let metrics = stage.sidecar.metrics();
    for name in NAMES {
        assert!(metrics.has(name), "{name} is missing:\n{}", metrics.text());
    }
}

#[tokio::test]
async fn prometheus_own_tool_finds_nothing_to_complain_about() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 200ms")).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    alice.refused("SELECT pg_sleep(5)").await;
    let _ = stage.try_name("chat_app").await;
    let mut command = tokio::process::Command::new(programs::promtool());
    command.args(["check", "metrics"]);
    let said = tools::run(command, stage.sidecar.metrics().text()).await;
    assert!(said.success, "{}{}", said.output, said.errors);
    assert!(said.errors.trim().is_empty(), "{}", said.errors);
}

#[tokio::test]
async fn work_is_counted() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    for _ in 0..10 {
        alice.run("SELECT 1").await;
    }
    alice.refused("SELECT 1 / 0").await;
    let metrics = stage.sidecar.metrics();
    assert!(metrics.sum("bulkhead_connections_total", &[]) >= 1.0);
    assert!((metrics.sum("bulkhead_connections", &[]) - 1.0).abs() < 0.5);
    assert!((metrics.sum("bulkhead_factories", &[]) - 1.0).abs() < 0.5);
    assert!(metrics.sum("bulkhead_server_connections", &[]) >= 1.0);
    assert!(metrics.sum("bulkhead_query_seconds_count", &[]) >= 10.0);
    assert!(metrics.sum("bulkhead_connect_seconds_count", &[]) >= 1.0);
    assert!(metrics.sum("bulkhead_errors_total", &[]) >= 1.0);
}

#[tokio::test]
async fn errors_are_counted_by_class() {
    let stage = Stage::start(Policy::trusted()).await;
    let (one, two) = (stage.user("alice").await, stage.user("bob").await);
    // A deadlock between two users,
    for (client, id) in [(&one, 1), (&two, 2)] {
        client.run("BEGIN").await;
        client
            .run(&format!("UPDATE things SET name = 'x' WHERE id = {id}"))
            .await;
    }
    let (first, second) = tokio::join!(
        one.simple_query("UPDATE things SET name = 'x' WHERE id = 2"),
        two.simple_query("UPDATE things SET name = 'x' WHERE id = 1"),
    );
    assert!(first.is_err() || second.is_err());
    stage
        .until_metric("bulkhead_errors_total", &[("class", "deadlock")], 1.0)
        .await;
    // and a statement that is simply wrong.
    stage
        .user("carol")
        .await
        .refused("SELECT nothing_at_all")
        .await;
    stage
        .until_metric("bulkhead_errors_total", &[("class", "other")], 1.0)
        .await;
}

#[tokio::test]
async fn no_user_is_named_on_the_admin_port() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 200ms")).await;
    let user = "a-name-that-is-nowhere-else";
    let session = stage.user(user).await;
    session.run("SELECT 1").await;
    session.refused("SELECT pg_sleep(5)").await;
    let metrics = stage.sidecar.metrics();
    assert!(metrics.label_values().all(|value| !value.contains(user)));
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/revision",
        "/users",
        "/policy",
        "/drain",
        "/",
        "/../users",
    ] {
        let (_, body) = stage.sidecar.get(path).unwrap();
        assert!(!body.contains(user), "{path}: {body}");
        assert!(!body.contains(PASSWORD), "{path}: {body}");
    }
    assert_eq!(stage.sidecar.get("/users").unwrap().0, 404);
    assert_eq!(stage.sidecar.get("/policy").unwrap().0, 404);
}

#[tokio::test]
async fn the_users_subcommand_names_the_users_and_what_they_hold() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    let bob = stage.user("bob").await;
    for _ in 0..5 {
        alice.run("SELECT 1").await;
    }
    bob.run("BEGIN; SELECT 1").await;

    let said = stage.sidecar.command(&["users"]);
    let table = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{table}");
    assert!(table.contains("alice") && table.contains("bob"), "{table}");

    let said = stage.sidecar.command(&["users", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let users = report["users"].as_array().unwrap();
    assert_eq!(users.len(), 2, "{report}");
    let text = report.to_string();
    assert!(
        !text.contains(PASSWORD) && !text.contains("SELECT"),
        "{text}"
    );
}

#[tokio::test]
async fn the_policy_subcommand_shows_every_field_with_its_origin_and_no_secret() {
    let policy = Policy::trusted()
        .timeouts("statement: 7s")
        .overlay("timeouts: {connect: 35s}");
    let stage = Stage::start(policy).await;
    let said = stage.sidecar.command(&["policy"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{text}");
    let line = |field: &str| {
        text.lines()
            .find(|line| line.contains(field))
            .unwrap_or_else(|| panic!("no {field} in {text}"))
            .to_owned()
    };
    for (field, value, origin) in [
        ("databases[main].timeouts.statement", "7s", "base"),
        (
            "databases[main].timeouts.connect",
            "35s",
            "environment testing",
        ),
        ("databases[main].timeouts.lifetime", "1h", "default"),
    ] {
        let line = line(field);
        assert!(line.contains(value) && line.contains(origin), "{line}");
    }
    assert!(!text.contains(PASSWORD));
}

#[tokio::test]
async fn the_control_socket_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::start(Policy::trusted()).await;
    let socket = stage.sidecar.secrets().parent().unwrap().join("control");
    let mode = std::fs::metadata(socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[tokio::test]
async fn the_log_is_json_and_names_no_query_token_or_password() {
    let mut stage = Stage::start(Policy::trusted().timeouts("statement: 200ms")).await;
    stage.sidecar.log.must_not_show("a-very-private-word");
    let alice = stage.user("alice").await;
    alice.run("SELECT 'a-very-private-word'").await;
    alice
        .refused("SELECT 'a-very-private-word' FROM nowhere")
        .await;
    alice
        .refused("SELECT 'a-very-private-word', pg_sleep(5)")
        .await;
    let row = alice
        .query_one("SELECT $1::text", &[&"a-very-private-word"])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "a-very-private-word");
    let mut wire = stage.wire_of("alice").await;
    let _ = wire
        .try_send(bulkhead_tests::wire::send::message(
            b'!',
            b"a-very-private-word",
        ))
        .await;
    wire.until_closed().await;
    let _ = stage
        .try_options("-c bulkhead.context=a-very-private-word")
        .await;
    assert!(!stage.sidecar.log.events().is_empty());
}

#[tokio::test]
async fn check_shows_the_policy_and_reaches_the_upstream() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 7s")).await;
    let home = stage.sidecar.secrets();
    let home = home.parent().unwrap();
    let check = |policy: std::path::PathBuf| stage.sidecar.check(&policy);
    let (code, text) = check(home.join("policy.yaml"));
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("databases[main].timeouts.statement"),
        "{text}"
    );
    assert!(!text.contains(PASSWORD), "{text}");

    let broken = home.join("broken.yaml");
    let typo = stage.sidecar.policy().clone().spec("isolatoin: {}").text();
    std::fs::write(&broken, typo).unwrap();
    let (code, text) = check(broken);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("isolatoin") && text.contains("isolation"),
        "{text}"
    );
}

#[tokio::test]
async fn a_policy_that_does_not_validate_stops_the_start() {
    let folder = bulkhead_tests::processes::folder("broken");
    let policy = folder.join("policy.yaml");
    std::fs::write(
        &policy,
        Policy::trusted()
            .timeouts("statement: soon")
            .completed(1, 2, "x")
            .text(),
    )
    .unwrap();
    let output = std::process::Command::new(programs::sidecar())
        .args([
            "run",
            "--environment",
            "testing",
            "--admin",
            "127.0.0.1:0",
            "--policy",
        ])
        .arg(policy)
        .arg("--control")
        .arg(folder.join("control"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("statement"), "{text}");
}
