//! The seven timeouts: what each does, what it says, and what survives it.

mod acquire;
mod connect;
mod idle;
mod statement;
mod transaction;

use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

/// The message must name the field, its value, the environment, and where the value was written.
fn names(refusal: &Refusal, field: &str, value: &str) {
    let path = format!("databases[main].timeouts.{field}");
    assert!(refusal.says(&path), "{path} is not named: {refusal:?}");
    assert!(refusal.says(value), "{value} is not named: {refusal:?}");
    assert!(
        refusal.says("testing"),
        "the environment is not named: {refusal:?}"
    );
}

async fn until_counted(stage: &Stage, kind: &str) {
    wait::until(&format!("a {kind} timeout to be counted"), || async {
        stage
            .sidecar
            .metric("bulkhead_timeouts_total", &[("kind", kind)])
            >= 1.0
    })
    .await;
}
