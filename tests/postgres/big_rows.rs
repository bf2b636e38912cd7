//! Messages larger than any buffer pass through in pieces.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::send;

/// What the sidecar may grow by while something large passes.
const BOUND: u64 = 8 << 20;

#[tokio::test]
async fn a_field_of_64_mb_streams_through_bounded_memory() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("SELECT 1").await;
    let before = stage.sidecar.memory("VmRSS");

    wire.send(send::query("SELECT repeat('x', 64 * 1024 * 1024)"))
        .await;
    let mut bytes = 0;
    while bytes < 64 << 20 {
        let some = wire.discard_some().await;
        assert_ne!(some, 0, "closed after {bytes} bytes");
        bytes += some;
    }
    let peak = stage.sidecar.memory("VmHWM").saturating_sub(before);
    assert!(peak < BOUND, "the sidecar grew by {peak} bytes");
}

#[tokio::test]
async fn a_slow_reader_of_a_big_row_costs_no_more_memory_than_a_quick_one() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("SELECT 1").await;
    let before = stage.sidecar.memory("VmRSS");
    wire.send(send::query("SELECT repeat('y', 64 * 1024 * 1024)"))
        .await;
    stage.until_stuck_in_write(&admin).await;
    let peak = stage.sidecar.memory("VmHWM").saturating_sub(before);
    assert!(peak < BOUND, "the sidecar grew by {peak} bytes");
    // And the row is whole when it is read after all.
    let answer = wire.until_ready().await;
    assert_eq!(answer.tags(), "TDCZ");
    assert_eq!(answer.value().unwrap().len(), 64 << 20);
}

#[tokio::test]
async fn a_query_and_a_parameter_of_16_mb_reach_the_server() {
    let stage = Stage::start(Policy::trusted().spec("limits: {memoryPerUser: 1Mi}")).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    let before = stage.sidecar.memory("VmRSS");
    let big = "z".repeat(16 << 20);
    let length = alice.text(&format!("SELECT length('{big}')")).await;
    assert_eq!(length.as_deref(), Some("16777216"));
    let row = alice
        .query_one("SELECT length($1::text)", &[&big])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i32>(0), 16 << 20);
    let peak = stage.sidecar.memory("VmHWM").saturating_sub(before);
    assert!(peak < BOUND, "the sidecar grew by {peak} bytes");
}

#[tokio::test]
async fn many_rows_stream_in_order() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    let rows = alice
        .rows("SELECT n, repeat('r', n % 300) FROM generate_series(1, 20000) n")
        .await;
    assert_eq!(rows.len(), 20_000);
    for (row, number) in rows.iter().zip(1_usize..) {
        assert_eq!(row[0], Some(number.to_string()));
        assert_eq!(row[1].as_ref().unwrap().len(), number % 300);
    }
}
