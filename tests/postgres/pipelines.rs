//! Pipelines: many requests on the way at once, errors among them, and `ReadyForQuery` exactly where it belongs.

use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;

#[tokio::test]
async fn a_batch_is_answered_in_order_with_one_ready() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire
        .exchange(&[
            send::parse("", "SELECT $1::int + 1"),
            send::describe_statement(""),
            send::bind("", "", &["1"]),
            send::describe_portal(""),
            send::execute("", 0),
            send::run_unnamed("SELECT 'two'"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "1tT2TDC12DCZ");
    let rows: Vec<_> = answer.rows().concat();
    assert_eq!(rows, [Some("2".to_owned()), Some("two".to_owned())]);
}

#[tokio::test]
async fn every_sync_of_a_pipeline_is_answered() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let one = [send::run_unnamed("SELECT 1"), send::sync()].concat();
    wire.send(one.repeat(3)).await;
    wire.send([send::sync(), send::sync()].concat()).await;
    for tags in ["12DCZ", "12DCZ", "12DCZ", "Z", "Z"] {
        assert_eq!(wire.until_ready().await.tags(), tags);
    }
}

#[tokio::test]
async fn simple_and_extended_queries_may_be_mixed_without_waiting() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(
        [
            send::query("SELECT 1"),
            send::run_unnamed("SELECT 2"),
            send::sync(),
            send::query("SELECT 3; SELECT 4"),
            send::query(""),
            send::query("SELECT refuse(); SELECT 5"),
        ]
        .concat(),
    )
    .await;
    for tags in ["TDCZ", "12DCZ", "TDCTDCZ", "IZ", "TEZ"] {
        assert_eq!(wire.until_ready().await.tags(), tags);
    }
}

#[tokio::test]
async fn an_error_skips_until_sync_and_undoes_the_batch() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(
        [
            send::run_unnamed("INSERT INTO things VALUES (901, 'undone')"),
            send::run_unnamed("SELECT refuse()"),
            send::parse("never", "SELECT 1"),
            send::run_unnamed("INSERT INTO things VALUES (902, 'never')"),
            send::flush(),
            send::sync(),
            send::run_unnamed("SELECT count(*) FROM things WHERE id > 900"),
            send::sync(),
        ]
        .concat(),
    )
    .await;
    let first = wire.until_ready().await;
    assert_eq!(first.tags(), "12C12EZ");
    assert_eq!(first.refusal().code, "BH042");
    assert_eq!(first.status(), 'I');
    let second = wire.until_ready().await;
    assert_eq!(second.value().as_deref(), Some("0"));
    // A Parse that was skipped has prepared nothing.
    let unknown = wire.bind("never").await;
    assert_eq!(unknown.refusal().code, "26000");
}

#[tokio::test]
async fn an_error_inside_a_transaction_is_kept_until_rollback() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(
        [
            send::run_unnamed("BEGIN"),
            send::sync(),
            send::run_unnamed("SELECT refuse()"),
            send::sync(),
            send::run_unnamed("SELECT 1"),
            send::sync(),
            send::run_unnamed("ROLLBACK"),
            send::sync(),
            send::run_unnamed("SELECT 1"),
            send::sync(),
        ]
        .concat(),
    )
    .await;
    let expected = [
        ('T', "12CZ"),
        ('E', "12EZ"),
        ('E', "EZ"),
        ('I', "12CZ"),
        ('I', "12DCZ"),
    ];
    for (status, tags) in expected {
        let answer = wire.until_ready().await;
        assert_eq!(
            (answer.status(), answer.tags().as_str()),
            (status, tags),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn flush_brings_the_answers_so_far_and_keeps_the_transaction() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send([send::run_unnamed("SELECT pg_backend_pid()"), send::flush()].concat())
        .await;
    let first = wire.until(b'C').await;
    assert_eq!(first.tags(), "12DC");

    // Between Flush and Sync the server connection stays with this client, for the implicit transaction is open.
    let other = stage.user("alice").await;
    let elsewhere = other.server_pid().await.to_string();
    assert_ne!(first.value(), Some(elsewhere));
    wire.send([send::run_unnamed("SELECT pg_backend_pid()"), send::sync()].concat())
        .await;
    let second = wire.until_ready().await;
    assert_eq!(first.value(), second.value());
}

#[tokio::test]
async fn a_lone_flush_and_a_lone_sync_do_no_harm() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::flush()).await;
    assert!(!wire.says_something(Duration::from_millis(50)).await);
    assert_eq!(wire.exchange(&[send::sync()]).await.tags(), "Z");
    assert_eq!(wire.query("SELECT 1").await.tags(), "TDCZ");
}

#[tokio::test]
async fn a_portal_is_read_in_parts() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire
        .exchange(&[
            send::parse("", "SELECT n FROM generate_series(1, 5) n"),
            send::bind("p", "", &[]),
            send::execute("p", 2),
            send::execute("p", 2),
            send::execute("p", 2),
            send::close_portal("p"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "12DDsDDsDC3Z");
}

#[tokio::test]
async fn a_named_portal_lives_as_long_as_its_transaction() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    let begun = wire
        .exchange(&[
            send::parse("", "SELECT n FROM generate_series(1, 3) n"),
            send::bind("p", "", &[]),
            send::execute("p", 1),
            send::sync(),
        ])
        .await;
    assert_eq!(begun.tags(), "12DsZ");
    assert_eq!(
        wire.exchange(&[send::execute("p", 0), send::sync()])
            .await
            .tags(),
        "DDCZ"
    );
    wire.query("COMMIT").await;
    let gone = wire.exchange(&[send::execute("p", 0), send::sync()]).await;
    assert_eq!(gone.refusal().code, "34000");
}

#[tokio::test]
async fn thousands_of_requests_before_the_first_answer_is_read_do_not_block() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let one = [send::run_unnamed("SELECT 1"), send::sync()].concat();
    wire.send(one.repeat(3000)).await;
    for number in 0..3000 {
        assert_eq!(wire.until_ready().await.tags(), "12DCZ", "answer {number}");
    }
}

#[tokio::test]
async fn a_long_batch_without_sync_is_served() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::run_unnamed("SELECT 1").repeat(2000)).await;
    let answer = wire.exchange(&[send::sync()]).await;
    assert_eq!(answer.of(b'C').count(), 2000);
    assert_eq!(answer.of(b'Z').count(), 1);
}

#[tokio::test]
async fn an_error_in_each_of_many_batches_belongs_to_its_own_batch() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let mut script = Vec::new();
    for number in 0..200 {
        let sql = if number % 3 == 0 {
            "SELECT refuse()"
        } else {
            "SELECT 1"
        };
        script.extend(
            [
                send::run_unnamed(sql),
                send::run_unnamed("SELECT 2"),
                send::sync(),
            ]
            .concat(),
        );
    }
    wire.send(script).await;
    for number in 0..200 {
        let tags = if number % 3 == 0 { "12EZ" } else { "12DC12DCZ" };
        assert_eq!(wire.until_ready().await.tags(), tags, "batch {number}");
    }
}

#[tokio::test]
async fn tokio_postgres_pipelines_by_asking_without_waiting() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    let add = alice.prepare("SELECT $1::int4 + 1").await.unwrap();
    let (one, two, three, four) = tokio::join!(
        alice.query_one(&add, &[&1_i32]),
        alice.query_one(&add, &[&2_i32]),
        alice.simple_query("SELECT refuse()"),
        alice.query_one(&add, &[&4_i32]),
    );
    assert_eq!(one.unwrap().get::<_, i32>(0), 2);
    assert_eq!(two.unwrap().get::<_, i32>(0), 3);
    assert!(three.is_err());
    assert_eq!(four.unwrap().get::<_, i32>(0), 5);
}

#[tokio::test]
async fn psycopgs_pipeline_mode_works_with_an_error_inside() {
    let stage = Stage::start(Policy::trusted()).await;
    let script = r#"
with connect(autocommit=True) as conn:
    with conn.pipeline() as p:
        cursors = [conn.execute("SELECT %s::int * 2", (n,)) for n in range(50)]
        p.sync()
        try:
            conn.execute("SELECT refuse()")
            p.sync()
            print("not refused")
        except psycopg.Error as error:
            print(error.sqlstate)
    print(sum(c.fetchone()[0] for c in cursors))
    print(conn.execute("SELECT 'after'").fetchone()[0])
"#;
    assert_eq!(
        stage.psycopg("alice", script).await.well(),
        "BH042\n2450\nafter\n"
    );
}

#[tokio::test]
async fn pgbench_runs_in_every_protocol_and_in_pipelines() {
    let stage = Stage::start(Policy::trusted()).await;
    let script = std::env::temp_dir().join(format!("bulkhead-pipeline-{}.sql", std::process::id()));
    std::fs::write(
        &script,
        "\\startpipeline\nSELECT 1;\nSELECT name FROM things WHERE id = 7;\n\\endpipeline\n",
    )
    .unwrap();
    let path = script.to_str().unwrap().to_owned();
    for arguments in [
        vec!["-n", "-M", "simple", "-c", "4", "-t", "25", "-f", "SIMPLE"],
        vec!["-n", "-M", "extended", "-c", "4", "-t", "25", "-f", &path],
        vec!["-n", "-M", "prepared", "-c", "4", "-t", "25", "-f", &path],
    ] {
        let simple =
            std::env::temp_dir().join(format!("bulkhead-simple-{}.sql", std::process::id()));
        std::fs::write(&simple, "SELECT name FROM things WHERE id = 7;\n").unwrap();
        let arguments: Vec<&str> = arguments
            .into_iter()
            .map(|argument| {
                if argument == "SIMPLE" {
                    simple.to_str().unwrap()
                } else {
                    argument
                }
            })
            .collect();
        let said = stage.pgbench("alice", &arguments).await;
        let output = said.well();
        assert!(
            output.contains("number of transactions actually processed: 100/100"),
            "{output}"
        );
        std::fs::remove_file(simple).unwrap();
    }
    std::fs::remove_file(script).unwrap();
}

#[tokio::test]
async fn a_waiting_pipeline_is_served_when_its_turn_comes() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut wire = stage.wire_of("alice").await;
    let holder = stage.user("alice").await;
    holder.run("BEGIN; SELECT 1").await;
    wire.send(
        [send::run_unnamed("SELECT 1"), send::sync()]
            .concat()
            .repeat(20),
    )
    .await;
    assert!(!wire.says_something(Duration::from_millis(50)).await);
    holder.run("COMMIT").await;
    for _ in 0..20 {
        assert_eq!(
            wait::within("an answer", wire.until_ready()).await.tags(),
            "12DCZ"
        );
    }
}

#[tokio::test]
async fn what_is_parsed_behind_a_deallocate_all_or_discard_all_is_there_after_it() {
    let stage = Stage::start(Policy::trusted()).await;
    for forget in ["DEALLOCATE ALL", "DISCARD ALL"] {
        let mut wire = stage.wire_of("alice").await;
        let prepare = [
            send::parse("a", "SELECT 'a'"),
            send::parse("b", "SELECT 'b'"),
        ]
        .concat();
        wire.exchange(&[prepare.clone(), send::sync()]).await;
        let run = |name| {
            let run = [send::bind("", name, &[]), send::execute("", 0)];
            run.concat()
        };
        // As a query of its own,
        wire.send(
            [
                send::query(forget),
                prepare.clone(),
                run("a"),
                run("b"),
                send::sync(),
            ]
            .concat(),
        )
        .await;
        assert_eq!(wire.until_ready().await.tags(), "CZ", "{forget}");
        assert_eq!(wire.until_ready().await.tags(), "112DC2DCZ", "{forget}");
        // and in the middle of a batch; the names were given before it, so that they are free again.
        let answer = wire
            .exchange(&[send::run_unnamed(forget), prepare, send::sync()])
            .await;
        assert_eq!(answer.tags(), "12C11Z", "{forget}");
        let answer = wire.exchange(&[run("a"), run("b"), send::sync()]).await;
        assert_eq!(answer.tags(), "2DC2DCZ", "{forget}");
    }
}
