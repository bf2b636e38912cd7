//! SIGTERM: no new work, the rest comes to its end, and the process leaves with 0.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{Wire, send};
use tokio::net::TcpStream;

/// How long the sidecar may take to end.
const END: Duration = Duration::from_secs(10);

async fn until_closed_to_newcomers(stage: &Stage) {
    let port = stage.sidecar.port();
    wait::until("the listener's end", || async move {
        TcpStream::connect(("127.0.0.1", port)).await.is_err()
    })
    .await;
}

/// The client hears that it must go, and nothing after it.
async fn told_to_go(wire: &mut Wire) {
    let end = wire.until_closed().await;
    assert_eq!(end.refusal().code, "57P01", "{end:?}");
}

#[tokio::test]
async fn an_open_transaction_finishes_and_then_its_client_is_told_to_go() {
    // Given a transaction that is open when the end is announced,
    let mut stage = Stage::with(Policy::trusted()).grace("8s").start().await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO notes (owner, body) VALUES ('alice', 'kept')")
        .await;
    stage.sidecar.terminate();
    until_closed_to_newcomers(&stage).await;

    // then it goes on,
    assert_eq!(
        wire.query("SELECT count(*) FROM notes")
            .await
            .value()
            .as_deref(),
        Some("1")
    );
    let done = wire.query("COMMIT").await;
    assert_eq!(done.commands(), ["COMMIT"]);

    // and after it the client is told to go, and the process is gone before the grace period is over.
    let end = wire.until_closed().await;
    assert_eq!(end.refusal().code, "57P01", "{end:?}");
    assert_eq!(end.refusal().severity, "FATAL");
    let start = Instant::now();
    stage.sidecar.ends_well(END);
    wait::no_longer_than(Duration::from_secs(5), start);
    assert_eq!(
        admin.text("SELECT body FROM notes").await.as_deref(),
        Some("kept")
    );
}

#[tokio::test]
async fn idle_clients_are_told_to_go_at_once() {
    let mut stage = Stage::with(Policy::trusted()).grace("8s").start().await;
    let mut idle = stage.wire_of("alice").await;
    let mut used = stage.wire_of("bob").await;
    used.query("SELECT 1").await;
    let start = Instant::now();
    stage.sidecar.terminate();
    for wire in [&mut idle, &mut used] {
        told_to_go(wire).await;
    }
    stage.sidecar.ends_well(END);
    wait::no_longer_than(Duration::from_secs(5), start);
}

#[tokio::test]
async fn a_running_statement_finishes() {
    let mut stage = Stage::with(Policy::trusted()).grace("8s").start().await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query("SELECT pg_sleep(0.7), 'done'")).await;
    stage.until_asleep(&admin).await;
    stage.sidecar.terminate();
    let answer = wire.until_ready().await;
    assert_eq!(answer.rows()[0][1].as_deref(), Some("done"));
    told_to_go(&mut wire).await;
    stage.sidecar.ends_well(END);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_ended_and_rolled_back() {
    let mut stage = Stage::with(Policy::trusted()).grace("500ms").start().await;
    let admin = stage.admin().await;
    let mut idle = stage.wire_of("alice").await;
    idle.query("BEGIN").await;
    idle.query("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
        .await;
    let mut busy = stage.wire_of("bob").await;
    busy.send(send::query("SELECT pg_sleep(60)")).await;
    stage.until_asleep(&admin).await;

    let start = Instant::now();
    stage.sidecar.terminate();
    for wire in [&mut idle, &mut busy] {
        told_to_go(wire).await;
    }
    stage.sidecar.ends_well(END);
    assert!(start.elapsed() >= Duration::from_millis(500));
    wait::no_longer_than(Duration::from_secs(6), start);
    stage.until_no_server_session(&admin).await;
    assert_eq!(
        admin.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("0")
    );
}

#[tokio::test]
async fn the_admin_port_says_that_it_is_not_ready_any_more() {
    let mut stage = Stage::with(Policy::trusted()).grace("8s").start().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("SELECT 1").await;
    stage.sidecar.terminate();
    stage.sidecar.until_unready().await;
    assert_eq!(stage.sidecar.get("/healthz").unwrap().0, 200);
    wire.query("ROLLBACK").await;
    stage.sidecar.ends_well(END);
}

#[tokio::test]
async fn the_drain_subcommand_ends_readiness_and_leaves_the_end_to_the_signal() {
    let mut stage = Stage::with(Policy::trusted()).grace("8s").start().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("SELECT 1").await;
    let asked = stage.sidecar.command(&["drain"]);
    assert!(asked.status.success(), "{asked:?}");
    // The answer promises what is held to below, and no more.
    assert_eq!(
        String::from_utf8_lossy(&asked.stdout),
        "not ready from now on; databases stay open to the application, and SIGTERM ends what is left\n"
    );
    stage.sidecar.until_unready().await;
    // A pre-stop hook asks while traffic still comes: it is served until the signal.
    assert_eq!(wire.query("SELECT 2").await.value().as_deref(), Some("2"));
    stage.user("newcomer").await.run("SELECT 1").await;
    stage.sidecar.terminate();
    told_to_go(&mut wire).await;
    stage.sidecar.ends_well(END);
}

#[tokio::test]
async fn a_sidecar_without_clients_leaves_at_once() {
    let mut stage = Stage::with(Policy::trusted().pool("warm: 2"))
        .grace("8s")
        .start()
        .await;
    let admin = stage.admin().await;
    let start = Instant::now();
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    wait::no_longer_than(Duration::from_secs(3), start);
    stage.until_no_server_session(&admin).await;
}

#[tokio::test]
async fn clients_in_session_mode_are_told_to_go_between_transactions() {
    let mut stage = Stage::with(Policy::trusted().in_session_mode())
        .grace("8s")
        .start()
        .await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    stage.sidecar.terminate();
    until_closed_to_newcomers(&stage).await;
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
    wire.query("COMMIT").await;
    told_to_go(&mut wire).await;
    stage.sidecar.ends_well(END);
}
