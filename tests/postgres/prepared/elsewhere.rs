//! A statement on a server connection that has never seen it.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::send;

use super::{change_server, prepare_both, run};

#[tokio::test]
async fn a_statement_is_learnt_again_by_every_server_connection() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    let prepared = wire.prepare("add", "SELECT $1::int + 1").await;
    assert_eq!(prepared.tags(), "1Z");
    assert_eq!(run(&mut wire, "add", &["1"]).await.as_deref(), Some("2"));
    for number in 2..5 {
        change_server(&stage, &admin).await;
        let answer = run(&mut wire, "add", &[&number.to_string()]).await;
        assert_eq!(answer, Some((number + 1).to_string()));
    }
}

#[tokio::test]
async fn a_parse_in_a_transaction_that_rolls_back_is_kept_as_on_the_server() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.prepare("s", "SELECT 'kept'").await;
    wire.query("ROLLBACK").await;
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("kept"));
    change_server(&stage, &admin).await;
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_statement_can_be_described_on_a_server_that_never_saw_it() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.prepare("s", "SELECT id, name FROM things WHERE id = $1")
        .await;
    change_server(&stage, &admin).await;
    let described = wire
        .exchange(&[send::describe_statement("s"), send::sync()])
        .await;
    assert_eq!(described.tags(), "tTZ", "{described:?}");
    let unknown = wire
        .exchange(&[send::describe_statement("never"), send::sync()])
        .await;
    assert_eq!(unknown.refusal().code, "26000");
}

#[tokio::test]
async fn a_parse_learnt_behind_the_clients_back_is_not_answered_to_it() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    prepare_both(&mut wire).await;
    change_server(&stage, &admin).await;
    let answer = wire
        .exchange(&[
            send::bind("", "a", &[]),
            send::execute("", 0),
            send::bind("", "b", &[]),
            send::describe_portal(""),
            send::execute("", 0),
            send::bind("", "a", &[]),
            send::execute("", 0),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "2DC2TDC2DCZ", "{answer:?}");
}

#[tokio::test]
async fn many_names_are_kept_apart() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    for number in 0..500 {
        wire.send(send::parse(
            &format!("s{number}"),
            &format!("SELECT {number}"),
        ))
        .await;
    }
    assert_eq!(wire.exchange(&[send::sync()]).await.of(b'1').count(), 500);
    for number in [0, 499, 250, 1, 498] {
        assert_eq!(
            run(&mut wire, &format!("s{number}"), &[]).await,
            Some(number.to_string())
        );
    }
    change_server(&stage, &admin).await;
    for number in (0..500).rev().step_by(7) {
        assert_eq!(
            run(&mut wire, &format!("s{number}"), &[]).await,
            Some(number.to_string())
        );
    }
}

#[tokio::test]
async fn declared_parameter_types_survive_a_change_of_server() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    let statement = alice
        .prepare_typed(
            "SELECT pg_typeof($1)::text",
            &[tokio_postgres::types::Type::INT2],
        )
        .await
        .unwrap();
    for _ in 0..2 {
        let kind = alice.query_one(&statement, &[&7_i16]).await.unwrap();
        assert_eq!(kind.get::<_, &str>(0), "smallint");
        change_server(&stage, &admin).await;
    }
}

#[tokio::test]
async fn a_changed_result_type_is_told_and_the_statement_can_be_prepared_anew() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    admin.run("CREATE TABLE shape (a int); INSERT INTO shape VALUES (1); GRANT ALL ON shape TO chat_app").await;
    wire.prepare("s", "SELECT * FROM shape").await;
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("1"));
    admin
        .run("ALTER TABLE shape ADD COLUMN b int DEFAULT 2")
        .await;
    let changed = wire.execute("s", &[]).await;
    assert_eq!(changed.refusal().code, "0A000");
    wire.exchange(&[
        send::close_statement("s"),
        send::parse("s", "SELECT * FROM shape"),
        send::sync(),
    ])
    .await;
    let rows = wire.execute("s", &[]).await.rows();
    assert_eq!(rows, [[Some("1".to_owned()), Some("2".to_owned())]]);
}

#[tokio::test]
async fn a_text_whose_result_has_changed_may_be_prepared_anew_while_others_hold_the_old_one() {
    // Given: two clients that have prepared one text, whose result changes then.
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let admin = stage.admin().await;
    let (mut one, mut two) = (stage.wire_of("alice").await, stage.wire_of("alice").await);
    admin.run("CREATE TABLE shape (a int); INSERT INTO shape VALUES (1); GRANT ALL ON shape TO chat_app").await;
    for wire in [&mut one, &mut two] {
        wire.prepare("s", "SELECT * FROM shape").await;
        assert_eq!(run(wire, "s", &[]).await.as_deref(), Some("1"));
    }
    admin.run("ALTER TABLE shape ALTER a TYPE text").await;
    // When: one of them prepares it anew, under another name and before it closes the first (as asyncpg does),
    assert_eq!(one.execute("s", &[]).await.refusal().code, "0A000");
    one.prepare("again", "SELECT * FROM shape").await;
    assert_eq!(run(&mut one, "again", &[]).await.as_deref(), Some("1"));
    // then who has not is told so still, as by a server, because they would read the rows wrong.
    for wire in [&mut one, &mut two] {
        assert_eq!(wire.execute("s", &[]).await.refusal().code, "0A000");
    }
    two.close("s").await;
    two.prepare("s", "SELECT * FROM shape").await;
    assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_statement_of_a_long_text_is_kept_like_any_other() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    let long = format!("SELECT length('{}')", "x".repeat(100_000));
    assert_eq!(wire.prepare("long", &long).await.tags(), "1Z");
    assert_eq!(run(&mut wire, "long", &[]).await.as_deref(), Some("100000"));
    change_server(&stage, &admin).await;
    assert_eq!(run(&mut wire, "long", &[]).await.as_deref(), Some("100000"));
}

#[tokio::test]
async fn more_statements_than_a_server_connection_keeps_still_work_in_one_pipeline() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    for number in 0..400 {
        wire.send(send::parse(
            &format!("s{number}"),
            &format!("SELECT {number}"),
        ))
        .await;
    }
    wire.exchange(&[send::sync()]).await;
    let mut batch = Vec::new();
    for number in 0..400 {
        batch.extend(
            [
                send::bind("", &format!("s{number}"), &[]),
                send::execute("", 0),
            ]
            .concat(),
        );
    }
    let rows = wire.exchange(&[batch, send::sync()]).await.rows();
    assert_eq!(rows.len(), 400);
    for (row, number) in rows.iter().zip(0..) {
        assert_eq!(row[0], Some(format!("{number}")));
    }
}

#[tokio::test]
async fn an_unnamed_statement_longer_than_a_users_memory_runs_in_its_batch() {
    let stage = Stage::start(Policy::trusted().spec("limits: {memoryPerUser: 64Ki}")).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    let text = format!("SELECT length('{}')", "x".repeat(100_000));
    let answer = wire
        .exchange(&[send::run_unnamed(&text), send::sync()])
        .await;
    assert_eq!(answer.value().as_deref(), Some("100000"), "{answer:?}");
    // On another server connection it is not there, and the error says why.
    change_server(&stage, &admin).await;
    let answer = wire
        .exchange(&[send::bind("", "", &[]), send::execute("", 0), send::sync()])
        .await;
    let refusal = answer.refusal();
    assert_eq!(refusal.code, "54000", "{refusal:?}");
    assert!(refusal.says("limits.memoryPerUser = 65536"), "{refusal:?}");
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}
