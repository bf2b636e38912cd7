//! COPY in and out: whole, failed half-way, large, and inside pipelines.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;
use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _, pin_mut};

#[tokio::test]
async fn copy_in_and_out_carry_the_same_rows() {
    for policy in [Policy::trusted(), Policy::trusted().in_session_mode()] {
        let stage = Stage::start(policy).await;
        let alice = stage.user("alice").await;
        let sink = alice.copy_in("COPY things FROM STDIN").await.unwrap();
        pin_mut!(sink);
        sink.send(Bytes::from_static(b"1001\tone\n10"))
            .await
            .unwrap();
        sink.send(Bytes::from_static(b"02\ttwo\n")).await.unwrap();
        assert_eq!(sink.finish().await.unwrap(), 2);

        let out = alice
            .copy_out("COPY (SELECT * FROM things WHERE id > 1000 ORDER BY id) TO STDOUT")
            .await;
        let chunks: Vec<Bytes> = out.unwrap().try_collect().await.unwrap();
        assert_eq!(chunks.concat(), b"1001\tone\n1002\ttwo\n");
        assert_eq!(alice.text("SELECT 1").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn psql_copies_in_both_directions() {
    let stage = Stage::start(Policy::trusted()).await;
    let script = "\\copy things from stdin\n2001\tfrom psql\n\\.\n\\copy (select name from things where id = 2001) to stdout\n";
    assert_eq!(stage.psql("alice", script).await.well(), "from psql\n");
}

#[tokio::test]
async fn a_client_that_gives_up_its_copy_leaves_no_row_and_a_usable_connection() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query("COPY things FROM STDIN")).await;
    wire.until(b'G').await;
    wire.send(
        [
            send::copy_data(b"3001\tx\n"),
            send::copy_fail("changed my mind"),
        ]
        .concat(),
    )
    .await;
    let answer = wire.until_ready().await;
    let refusal = answer.refusal();
    assert_eq!(refusal.code, "57014");
    assert!(refusal.message.contains("changed my mind"), "{refusal:?}");
    let count = wire
        .query("SELECT count(*) FROM things WHERE id > 3000")
        .await;
    assert_eq!(count.value().as_deref(), Some("0"));
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_copy_lets_the_client_finish_sending() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query("COPY things FROM STDIN")).await;
    wire.until(b'G').await;
    // A duplicate key, and then much that the server must throw away.
    wire.send(send::copy_data(b"1\tduplicate\n")).await;
    for number in 0..2000 {
        wire.send(send::copy_data(
            format!("{}\t{}\n", 5000 + number, "x".repeat(200)).as_bytes(),
        ))
        .await;
    }
    wire.send(send::copy_done()).await;
    let answer = wire.until_ready().await;
    assert_eq!(answer.refusal().code, "23505");
    assert_eq!(answer.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_copy_out_reaches_the_client() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire
        .query("COPY (SELECT 1 / (50 - n) FROM generate_series(1, 100) n) TO STDOUT")
        .await;
    assert_eq!(answer.refusal().code, "22012");
    assert_eq!(answer.of(b'd').count(), 49);
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn copy_in_of_the_extended_protocol_ignores_sync_and_flush_inside() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    // libpq and others send Sync together with Execute, before they know that a COPY begins.
    wire.send([send::run_unnamed("COPY things FROM STDIN"), send::sync()].concat())
        .await;
    wire.until(b'G').await;
    wire.send(
        [
            send::copy_data(b"4001\ta\n"),
            send::flush(),
            send::sync(),
            send::copy_data(b"4002\tb\n"),
            send::copy_done(),
            send::sync(),
        ]
        .concat(),
    )
    .await;
    let answer = wire.until_ready().await;
    assert_eq!(answer.commands(), ["COPY 2"], "{answer:?}");
    assert_eq!(
        wire.query("SELECT count(*) FROM things WHERE id > 4000")
            .await
            .value()
            .as_deref(),
        Some("2")
    );
}

#[tokio::test]
async fn a_failed_copy_in_of_the_extended_protocol_needs_one_sync() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::run_unnamed("COPY things FROM STDIN")).await;
    wire.send(send::flush()).await;
    wire.until(b'G').await;
    wire.send(
        [
            send::copy_data(b"not a number\tx\n"),
            send::copy_done(),
            send::sync(),
        ]
        .concat(),
    )
    .await;
    let answer = wire.until_ready().await;
    assert_eq!(answer.refusal().code, "22P02");
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_client_that_dies_in_a_copy_leaves_nothing_behind() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query("COPY things FROM STDIN")).await;
    wire.until(b'G').await;
    wire.send(send::copy_data(b"6001\torphan\n")).await;
    drop(wire);
    let again = stage.user("alice").await;
    assert_eq!(
        again
            .text("SELECT count(*) FROM things WHERE id > 6000")
            .await
            .as_deref(),
        Some("0")
    );
    wait::until("the copy's end on the server", || async {
        let copying = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND state = 'active' AND query LIKE 'COPY%'";
        admin.text(copying).await.as_deref() == Some("0")
    })
    .await;
}

#[tokio::test]
async fn a_large_copy_passes_without_being_kept() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    let before = stage.sidecar.memory("VmRSS");
    let row = format!("{}\n", "y".repeat(1023));
    let chunk = Bytes::from(row.repeat(64));
    alice.run("BEGIN").await;
    alice
        .run("CREATE TEMP TABLE big (line text) ON COMMIT DROP")
        .await;
    let sink = alice.copy_in("COPY big FROM STDIN").await.unwrap();
    pin_mut!(sink);
    for _ in 0..320 {
        sink.send(chunk.clone()).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 320 * 64);
    let out = alice.copy_out("COPY big TO STDOUT").await.unwrap();
    pin_mut!(out);
    let mut bytes = 0;
    while let Some(chunk) = out.try_next().await.unwrap() {
        bytes += chunk.len();
    }
    alice.run("COMMIT").await;
    assert_eq!(bytes, 320 * 64 * 1024);
    let grown = stage.sidecar.memory("VmHWM").saturating_sub(before);
    assert!(
        grown < 8 << 20,
        "20 MB each way made the sidecar grow by {grown} bytes"
    );
}
