//! SIGTERM under load: no transaction that had begun is lost, and none is done that its client was not told of.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;

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
