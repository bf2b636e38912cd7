//! The application's runs, followed by its events.

use super::*;
use crate::execution::ExecutionState;

fn follows() -> Stage {
    stage_that(
        "criticalEvents: [agent_started, agent_failed, agent_completed]\n    execution: {start: 5s, progress: 10s, total: 20s}",
    )
}

fn event(kind: &str, run: &str) -> Vec<u8> {
    text(
        false,
        &format!(r#"{{"type":"agent_{kind}","run_id":"{run}"}}"#),
    )
}

/// How many runs are in each state, or have ended in it.
fn counts(worker: &Worker) -> Vec<(&'static str, i64)> {
    let metrics = &worker.process.metrics;
    let all = ExecutionState::ALL.into_iter();
    let counted = all.map(|state| (state.as_str(), metrics.executions(state).get()));
    counted.filter(|(_, count)| *count != 0).collect()
}

async fn says(stage: &mut Stage, events: &[Vec<u8>]) {
    stage.application.write_all(&events.concat()).await.unwrap();
    for _ in events {
        assert_eq!(next(&mut stage.client).await.0, Opcode::Text);
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn runs_go_by_their_events_and_end_with_the_socket() {
    let mut stage = follows();
    let started = [
        event("started", "a"),
        event("started", "b"),
        event("started", "c"),
    ];
    says(&mut stage, &started).await;
    assert_eq!(counts(&stage.worker), [("running", 3)]);
    let ended = [event("completed", "b"), event("failed", "a")];
    says(&mut stage, &ended).await;
    let expected = [("running", 1), ("completed", 1), ("failed", 1)];
    assert_eq!(counts(&stage.worker), expected);
    drop(stage.client);
    within(stage.session).await.unwrap();
    let expected = [("completed", 1), ("failed", 1), ("cancelled", 1)];
    assert_eq!(counts(&stage.worker), expected);
    let unfinished = stage.worker.process.metrics.unfinished_runs.snapshot();
    let told: Vec<_> = unfinished
        .iter()
        .map(|run| {
            (
                run.user_id.as_str(),
                run.run_id.as_str(),
                run.outcome.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("alice", "c", "cancelled"), ("alice", "a", "failed")]
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn runs_without_an_id_are_one_and_die_with_the_application() {
    let mut stage = follows();
    let plain = text(false, r#"{"type":"agent_started"}"#);
    says(&mut stage, &[plain.clone(), plain]).await;
    assert_eq!(counts(&stage.worker), [("running", 1)]);
    drop(stage.application);
    assert_eq!(closed(&mut stage.client).await.0, 1014);
    drop(stage.client);
    within(stage.session).await.unwrap();
    assert_eq!(counts(&stage.worker), [("dead", 1)]);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_run_that_is_late_has_timed_out() {
    let mut stage = follows();
    stage.client.write_all(&text(true, "go")).await.unwrap();
    assert_eq!(next(&mut stage.application).await.0, Opcode::Text);
    assert_eq!(counts(&stage.worker), [("pending", 1)]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(counts(&stage.worker), [("timed_out", 1)]);
    says(&mut stage, &[event("started", "a")]).await;
    // Who says nothing at all is pinged, and gone without a pong.
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.client.write_all(&text(true, "well?")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(4900)).await;
    assert_eq!(counts(&stage.worker), [("running", 1), ("timed_out", 1)]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&stage.worker), [("timed_out", 2)]);
}
