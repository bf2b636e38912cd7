//! Where a transaction begins and ends, in the client's eyes and in the server's: they must never differ.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{Wire, send};

/// A client whose open transaction the sidecar has rolled back behind its back.
async fn aborted() -> (Stage, Wire) {
    let policy = Policy::trusted().timeouts("idleInTransaction: 200ms");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO things VALUES (801, 'rolled back')")
        .await;
    wait::until("the rollback", || async {
        let labels = [("kind", "idle_in_transaction")];
        stage.sidecar.metric("bulkhead_timeouts_total", &labels) >= 1.0
    })
    .await;
    (stage, wire)
}

#[tokio::test]
async fn a_rolled_back_transaction_ends_with_whatever_ends_one() {
    for end in [
        "ROLLBACK",
        "rollback work",
        "ABORT",
        "COMMIT",
        "END",
        "end transaction;",
        "/* note */ ROLLBACK",
        "-- x\nCOMMIT ; ",
    ] {
        let (_stage, mut wire) = aborted().await;
        let answer = wire.query(end).await;
        assert_eq!(answer.tags(), "CZ", "{end}: {answer:?}");
        assert_eq!(answer.commands(), ["ROLLBACK"], "{end}");
        assert_eq!(answer.status(), 'I', "{end}");
        let count = wire
            .query("SELECT count(*) FROM things WHERE id = 801")
            .await;
        assert_eq!(count.value().as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn a_rolled_back_transaction_is_not_ended_by_what_only_looks_like_its_end() {
    for other in [
        "ROLLBACK TO s",
        "ROLLBACK TO SAVEPOINT s",
        "RELEASE s",
        "SAVEPOINT s",
        "BEGIN",
        "SELECT 'ROLLBACK'",
        "INSERT INTO things VALUES (802, 'alone')",
        "",
    ] {
        let (stage, mut wire) = aborted().await;
        let answer = wire.query(other).await;
        assert_ne!(answer.status(), 'I', "{other:?}: {answer:?}");
        assert_eq!(wire.query("ROLLBACK").await.status(), 'I', "{other:?}");
        let count = stage
            .admin()
            .await
            .text("SELECT count(*) FROM things WHERE id > 800")
            .await;
        assert_eq!(count.as_deref(), Some("0"), "{other:?}");
    }
}

#[tokio::test]
async fn what_follows_the_end_in_the_same_query_is_carried_out_or_refused_and_never_swallowed() {
    for both in [
        "ROLLBACK; INSERT INTO things VALUES (803, 'after')",
        "COMMIT; INSERT INTO things VALUES (803, 'after')",
    ] {
        let (stage, mut wire) = aborted().await;
        let answer = wire.query(both).await;
        let count = stage
            .admin()
            .await
            .text("SELECT count(*) FROM things WHERE id = 803")
            .await;
        let told = answer.of(b'E').next().is_none();
        assert_eq!(
            told,
            count.as_deref() == Some("1"),
            "{both}: {answer:?}, and {count:?} rows"
        );
    }
}

#[tokio::test]
async fn a_chained_end_leaves_the_client_inside_a_transaction_or_refused() {
    for chained in ["ROLLBACK AND CHAIN", "COMMIT AND CHAIN"] {
        let (stage, mut wire) = aborted().await;
        let answer = wire.query(chained).await;
        assert_ne!(answer.status(), 'I', "{chained}: {answer:?}");
        // Whatever it is in now, this must not be committed by itself.
        wire.query("INSERT INTO things VALUES (804, 'chained')")
            .await;
        wire.query("ROLLBACK").await;
        let count = stage
            .admin()
            .await
            .text("SELECT count(*) FROM things WHERE id = 804")
            .await;
        assert_eq!(count.as_deref(), Some("0"), "{chained}");
    }
}

#[tokio::test]
async fn a_chained_transaction_stays_on_its_server() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO things VALUES (805, 'first')").await;
    assert_eq!(wire.query("COMMIT AND CHAIN").await.status(), 'T');
    wire.query("INSERT INTO things VALUES (806, 'second')")
        .await;
    assert_eq!(wire.query("ROLLBACK AND CHAIN").await.status(), 'T');
    assert_eq!(wire.query("COMMIT").await.status(), 'I');
    let rows = wire
        .query("SELECT id FROM things WHERE id IN (805, 806)")
        .await
        .rows();
    assert_eq!(rows, [[Some("805".to_owned())]]);
}

#[tokio::test]
async fn savepoints_survive_errors_inside_them() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 300ms")).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO things VALUES (807, 'kept')").await;
    wire.query("SAVEPOINT s").await;
    assert_eq!(wire.query("SELECT refuse()").await.status(), 'E');
    assert_eq!(wire.query("ROLLBACK TO s").await.status(), 'T');
    // The sidecar's own cancel is an error like any other.
    assert_eq!(
        wire.query("SELECT pg_sleep(9)").await.refusal().code,
        "57014"
    );
    assert_eq!(wire.query("ROLLBACK TO s").await.status(), 'T');
    assert_eq!(wire.query("COMMIT").await.commands(), ["COMMIT"]);
    assert_eq!(
        wire.query("SELECT count(*) FROM things WHERE id = 807")
            .await
            .value()
            .as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn a_batch_that_times_out_does_not_take_the_batch_behind_it_along() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 300ms")).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(
        [
            send::run_unnamed("SELECT pg_sleep(9)"),
            send::run_unnamed("SELECT 'never'"),
            send::sync(),
            send::run_unnamed("SELECT 'second'"),
            send::sync(),
            send::query("SELECT 'third'"),
        ]
        .concat(),
    )
    .await;
    let first = wire.until_ready().await;
    assert_eq!(first.refusal().code, "57014", "{first:?}");
    assert_eq!(wire.until_ready().await.value().as_deref(), Some("second"));
    assert_eq!(wire.until_ready().await.value().as_deref(), Some("third"));
}

#[tokio::test]
async fn two_phase_commit_works() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    let name = format!("phase-{}", stage.database);
    alice
        .run("BEGIN; INSERT INTO things VALUES (808, 'prepared')")
        .await;
    alice.run(&format!("PREPARE TRANSACTION '{name}'")).await;
    assert_eq!(
        alice
            .text("SELECT count(*) FROM things WHERE id = 808")
            .await
            .as_deref(),
        Some("0")
    );
    alice.run(&format!("COMMIT PREPARED '{name}'")).await;
    assert_eq!(
        alice
            .text("SELECT count(*) FROM things WHERE id = 808")
            .await
            .as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn a_multi_statement_query_is_one_transaction() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    alice
        .refused("INSERT INTO things VALUES (809, 'x'); SELECT refuse()")
        .await;
    assert_eq!(
        alice
            .text("SELECT count(*) FROM things WHERE id = 809")
            .await
            .as_deref(),
        Some("0")
    );
    alice
        .run("INSERT INTO things VALUES (810, 'x'); BEGIN; INSERT INTO things VALUES (811, 'y')")
        .await;
    alice.run("ROLLBACK").await;
    assert_eq!(
        alice
            .text("SELECT count(*) FROM things WHERE id > 809")
            .await
            .as_deref(),
        Some("0")
    );
}

#[tokio::test]
async fn a_client_that_leaves_inside_a_transaction_is_rolled_back_at_once() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    for goodbye in [send::terminate(), Vec::new()] {
        let mut wire = stage.wire_of("alice").await;
        wire.query("BEGIN").await;
        wire.query("INSERT INTO things VALUES (812, 'gone')").await;
        wire.send(&goodbye).await;
        drop(wire);
        let again = stage.user("alice").await;
        assert_eq!(
            again
                .text("SELECT count(*) FROM things WHERE id = 812")
                .await
                .as_deref(),
            Some("0")
        );
    }
}

#[tokio::test]
async fn set_local_ends_with_its_transaction() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    let before = alice.text("SHOW work_mem").await;
    alice.run("BEGIN; SET LOCAL work_mem = '7MB'").await;
    assert_eq!(alice.text("SHOW work_mem").await.as_deref(), Some("7MB"));
    alice.run("COMMIT").await;
    assert_eq!(alice.text("SHOW work_mem").await, before);
}

#[tokio::test]
async fn work_that_stands_before_a_goodbye_is_done() {
    let stage = Stage::start(Policy::trusted()).await;
    let slow = "SELECT pg_sleep(0.05); INSERT INTO notes (owner, body) VALUES ('alice', 'late')";
    let alone = "INSERT INTO notes (owner, body) SELECT 'alice', 'late' FROM pg_sleep(0.05)";
    // Given clients that say goodbye behind a statement, and wait for the end
    for _ in 0..5 {
        let mut wire = stage.wire_of("alice").await;
        wire.send([send::query(slow), send::terminate()].concat())
            .await;
        let heard = wire.until_closed().await;
        assert_eq!(heard.commands(), ["SELECT 1", "INSERT 0 1"]);
    }
    // or do not even do that,
    for _ in 0..5 {
        let mut wire = stage.wire_of("alice").await;
        let batch = [send::run_unnamed(alone), send::sync()].concat();
        wire.send([batch, send::terminate()].concat()).await;
        drop(wire);
    }
    // then it is all done.
    let admin = stage.admin().await;
    wait::until("ten rows", || async {
        let count = admin.text("SELECT count(*) FROM notes WHERE body = 'late'");
        count.await.as_deref() == Some("10")
    })
    .await;
}

#[tokio::test]
async fn a_goodbye_behind_what_has_no_end_is_not_waited_for() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    for open in [
        send::query("COPY things FROM STDIN"),
        [send::query("BEGIN"), send::run_unnamed("SELECT 1")].concat(),
    ] {
        let mut wire = stage.wire_of("alice").await;
        wire.send([open, send::terminate()].concat()).await;
        wire.until_closed().await;
    }
    wait::until("both transactions to be over", || async {
        let open = admin.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()",
        );
        open.await.as_deref() == Some("0")
    })
    .await;
}
