//! SIGTERM under load: no transaction that had begun is lost, and none is done that its client was not told of.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::send;

use super::load::{Load, Pace};
use super::policy;

async fn terminate_under_load(policy: Policy) {
    let mut stage = Stage::with(policy.pool("maxConnections: 16"))
        .grace("20s")
        .start()
        .await;
    let admin = stage.admin().await;
    let pace = Pace {
        clients: 24,
        per_connection: 7,
        pause: Duration::from_millis(1),
    };
    let load = Load::start(&stage, pace);
    load.goes_on(200).await;
    stage.sidecar.terminate();
    stage.sidecar.ends_well(Duration::from_secs(20));
    let tally = load.end().await;
    let done = tally.done.load(Ordering::Relaxed);
    let broken = tally.broken.load(Ordering::Relaxed);
    assert_eq!(broken, 0, "of {done}: {}", tally.words.lock().unwrap());
    // Nothing was done that nobody was told of, and nothing that was acknowledged is missing.
    let rows = admin.text("SELECT count(*) FROM notes").await;
    assert_eq!(rows, Some(done.to_string()));
    stage.until_no_server_session(&admin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_breaks_no_transaction_that_had_begun() {
    terminate_under_load(policy()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_in_session_mode_breaks_none_either() {
    terminate_under_load(policy().in_session_mode().pool("maxConnections: 64")).await;
}

#[tokio::test]
async fn a_sidecar_that_is_killed_leaves_no_transaction_open_and_no_session_behind() {
    // Given a transaction that has written something, and a statement that runs,
    let mut stage = Stage::start(policy()).await;
    let admin = stage.admin().await;
    let mut idle = stage.wire_of("alice").await;
    idle.query("BEGIN").await;
    idle.query("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
        .await;
    let mut busy = stage.wire_of("bob").await;
    busy.send(send::query("SELECT pg_sleep(1.5)")).await;
    stage.until_asleep(&admin).await;
    // when the sidecar is killed, nobody puts anything in order.
    stage.sidecar.kill();
    stage.sidecar.wait(Duration::from_secs(5));
    for wire in [&mut idle, &mut busy] {
        assert!(wire.until_closed().await.is_empty());
    }
    // Then the server sees its clients gone: at once where it waits for them, at the statement's end where it works.
    stage.until_no_server_session(&admin).await;
    let notes = admin.text("SELECT count(*) FROM notes").await;
    assert_eq!(notes.as_deref(), Some("0"));
}
