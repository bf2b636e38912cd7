//! Prepared statements while the server connection changes under the client: Transaction mode.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{Wire, send};

/// Takes away the server connection that `wire` would come back to, so that its next query finds another.
async fn change_server(stage: &Stage, admin: &Session) {
    admin
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND usename <> 'postgres'",
        )
        .await;
    wait::until("the server connections' end", || async {
        stage.server_sessions(admin).await == 0
    })
    .await;
}

async fn run(wire: &mut Wire, statement: &str, parameters: &[&str]) -> Option<String> {
    let answer = wire
        .exchange(&[
            send::bind("", statement, parameters),
            send::execute("", 0),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "2DCZ", "{answer:?}");
    answer.value()
}

#[tokio::test]
async fn a_statement_is_learnt_again_by_every_server_connection() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    let prepared = wire
        .exchange(&[send::parse("add", "SELECT $1::int + 1"), send::sync()])
        .await;
    assert_eq!(prepared.tags(), "1Z");
    assert_eq!(run(&mut wire, "add", &["1"]).await.as_deref(), Some("2"));
    for number in 2..5 {
        change_server(&stage, &admin).await;
        let answer = run(&mut wire, "add", &[&number.to_string()]).await;
        assert_eq!(answer, Some((number + 1).to_string()));
    }
}

#[tokio::test]
async fn two_clients_may_use_one_name_for_different_statements() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut one = stage.wire_of("alice").await;
    let mut two = stage.wire_of("alice").await;
    one.exchange(&[send::parse("s", "SELECT 'one'"), send::sync()])
        .await;
    two.exchange(&[send::parse("s", "SELECT 'two'"), send::sync()])
        .await;
    for _ in 0..3 {
        assert_eq!(run(&mut one, "s", &[]).await.as_deref(), Some("one"));
        assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("two"));
    }
    // Closing one's own leaves the other's alone.
    assert_eq!(
        one.exchange(&[send::close_statement("s"), send::sync()])
            .await
            .tags(),
        "3Z"
    );
    assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("two"));
    let gone = one
        .exchange(&[send::bind("", "s", &[]), send::sync()])
        .await;
    assert_eq!(gone.refusal().code, "26000");
}

#[tokio::test]
async fn two_clients_may_use_the_same_name_and_the_same_text() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut one = stage.wire_of("alice").await;
    let mut two = stage.wire_of("alice").await;
    for wire in [&mut one, &mut two] {
        let answer = wire
            .exchange(&[send::parse("s", "SELECT 'both'"), send::sync()])
            .await;
        assert_eq!(answer.tags(), "1Z", "{answer:?}");
    }
    assert_eq!(
        one.exchange(&[send::close_statement("s"), send::sync()])
            .await
            .tags(),
        "3Z"
    );
    assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("both"));
}

#[tokio::test]
async fn a_name_in_use_is_refused_as_the_server_would() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.exchange(&[send::parse("s", "SELECT 1"), send::sync()])
        .await;
    let again = wire
        .exchange(&[send::parse("s", "SELECT 2"), send::sync()])
        .await;
    assert_eq!(again.refusal().code, "42P05", "{again:?}");
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("1"));
    // After Close the name is free.
    wire.exchange(&[send::close_statement("s"), send::sync()])
        .await;
    let anew = wire
        .exchange(&[send::parse("s", "SELECT 2"), send::sync()])
        .await;
    assert_eq!(anew.tags(), "1Z", "{anew:?}");
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn closing_what_does_not_exist_is_no_error() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire
        .exchange(&[
            send::close_statement("nothing"),
            send::close_portal("nothing"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "33Z");
}

#[tokio::test]
async fn a_parse_that_failed_is_forgotten() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let failed = wire
        .exchange(&[send::parse("s", "SELEKT"), send::sync()])
        .await;
    assert_eq!(failed.refusal().code, "42601");
    let unknown = wire
        .exchange(&[send::bind("", "s", &[]), send::sync()])
        .await;
    assert_eq!(unknown.refusal().code, "26000");
    let good = wire
        .exchange(&[send::parse("s", "SELECT 1"), send::sync()])
        .await;
    assert_eq!(good.tags(), "1Z", "{good:?}");
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_parse_in_a_transaction_that_rolls_back_is_kept_as_on_the_server() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.exchange(&[send::parse("s", "SELECT 'kept'"), send::sync()])
        .await;
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
    wire.exchange(&[
        send::parse("s", "SELECT id, name FROM things WHERE id = $1"),
        send::sync(),
    ])
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
    wire.exchange(&[
        send::parse("a", "SELECT 'a'"),
        send::parse("b", "SELECT 'b'"),
        send::sync(),
    ])
    .await;
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
async fn deallocate_forgets_one_and_deallocate_all_forgets_all() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    for forget in [
        "DEALLOCATE ALL",
        "DISCARD ALL",
        "deallocate prepare all",
        " /* note */ DISCARD ALL;",
    ] {
        let mut wire = stage.wire_of("alice").await;
        let both = [
            send::parse("a", "SELECT 'a'"),
            send::parse("b", "SELECT 'b'"),
            send::sync(),
        ];
        wire.exchange(&both).await;
        let done = wire.query(forget).await;
        assert_eq!(done.tags(), "CZ", "{forget}: {done:?}");
        for name in ["a", "b"] {
            let gone = wire
                .exchange(&[send::bind("", name, &[]), send::sync()])
                .await;
            assert_eq!(gone.refusal().code, "26000", "{forget}");
        }
        // The names are free again, here and on another server connection.
        assert_eq!(wire.exchange(&both).await.tags(), "11Z", "{forget}");
        change_server(&stage, &admin).await;
        assert_eq!(run(&mut wire, "b", &[]).await.as_deref(), Some("b"));
    }
}

#[tokio::test]
async fn deallocate_by_name_reaches_a_statement_of_the_protocol() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.exchange(&[
        send::parse("a", "SELECT 'a'"),
        send::parse("b", "SELECT 'b'"),
        send::sync(),
    ])
    .await;
    let done = wire.query("DEALLOCATE a").await;
    assert_eq!(done.tags(), "CZ", "{done:?}");
    let gone = wire
        .exchange(&[send::bind("", "a", &[]), send::sync()])
        .await;
    assert_eq!(gone.refusal().code, "26000");
    assert_eq!(run(&mut wire, "b", &[]).await.as_deref(), Some("b"));
}

#[tokio::test]
async fn deallocate_all_of_one_client_leaves_its_neighbours_statements() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut one = stage.wire_of("alice").await;
    let mut two = stage.wire_of("alice").await;
    for (wire, sql) in [(&mut one, "SELECT 'one'"), (&mut two, "SELECT 'two'")] {
        wire.exchange(&[send::parse("s", sql), send::sync()]).await;
    }
    one.query("DEALLOCATE ALL").await;
    assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("two"));
    one.query("DISCARD ALL").await;
    assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("two"));
}

#[tokio::test]
async fn sql_prepare_keeps_its_server_connection() {
    let stage = Stage::start(Policy::trusted()).await;
    let one = stage.user("alice").await;
    let two = stage.user("alice").await;
    one.run("PREPARE mine AS SELECT 'mine'").await;
    for _ in 0..3 {
        two.run("SELECT 1").await;
        assert_eq!(one.text("EXECUTE mine").await.as_deref(), Some("mine"));
    }
    assert_eq!(two.refused("EXECUTE mine").await.code, "26000");
}

#[tokio::test]
async fn the_unnamed_statement_lives_until_the_next_one() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.exchange(&[send::parse("", "SELECT $1::int * 2"), send::sync()])
        .await;
    // On the server it outlives the transaction, and drivers rely on it.
    assert_eq!(run(&mut wire, "", &["2"]).await.as_deref(), Some("4"));
    assert_eq!(run(&mut wire, "", &["3"]).await.as_deref(), Some("6"));
}

#[tokio::test]
async fn the_unnamed_statement_of_one_client_is_not_its_neighbours() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut one = stage.wire_of("alice").await;
    let mut two = stage.wire_of("alice").await;
    one.exchange(&[send::parse("", "SELECT 'one'"), send::sync()])
        .await;
    two.exchange(&[send::parse("", "SELECT 'two'"), send::sync()])
        .await;
    assert_eq!(run(&mut one, "", &[]).await.as_deref(), Some("one"));
    assert_eq!(run(&mut two, "", &[]).await.as_deref(), Some("two"));
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
    wire.exchange(&[send::parse("s", "SELECT * FROM shape"), send::sync()])
        .await;
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("1"));
    admin
        .run("ALTER TABLE shape ADD COLUMN b int DEFAULT 2")
        .await;
    let changed = wire
        .exchange(&[send::bind("", "s", &[]), send::execute("", 0), send::sync()])
        .await;
    assert_eq!(changed.refusal().code, "0A000");
    wire.exchange(&[
        send::close_statement("s"),
        send::parse("s", "SELECT * FROM shape"),
        send::sync(),
    ])
    .await;
    let rows = wire
        .exchange(&[send::bind("", "s", &[]), send::execute("", 0), send::sync()])
        .await
        .rows();
    assert_eq!(rows, [[Some("1".to_owned()), Some("2".to_owned())]]);
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
async fn sqlx_works_with_its_statement_cache() {
    use sqlx::{Connection as _, Row as _};
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let options = sqlx::postgres::PgConnectOptions::new()
        .host("127.0.0.1")
        .port(stage.sidecar.port())
        .username("chat_app+alice")
        .database(&stage.database)
        .ssl_mode(sqlx::postgres::PgSslMode::Disable);
    let mut connection = sqlx::postgres::PgConnection::connect_with(&options)
        .await
        .unwrap();
    for round in 0..6 {
        let row = sqlx::query("SELECT name, $1::int FROM things WHERE id = $1")
            .bind(round + 1)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(row.get::<String, _>(0), format!("thing {}", round + 1));
        if round % 2 == 1 {
            change_server(&stage, &admin).await;
        }
    }
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("INSERT INTO notes (owner, body) VALUES ($1, $2)")
        .bind("alice")
        .bind("by sqlx")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM notes")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn psycopg_prepares_by_itself_and_recovers_from_everything() {
    let stage = Stage::start(Policy::trusted()).await;
    let script = r#"
with connect() as conn:
    conn.prepare_threshold = 2
    for n in range(1, 20):
        assert conn.execute("SELECT name FROM things WHERE id = %s", (n,)).fetchone()[0] == f"thing {n}"
        conn.commit()
    try:
        conn.execute("SELECT 1 / %s", (0,))
    except psycopg.errors.DivisionByZero:
        conn.rollback()
    with conn.transaction():
        conn.execute("INSERT INTO notes (owner, body) VALUES ('alice', %s)", ("kept",))
    with conn.transaction(force_rollback=True):
        conn.execute("INSERT INTO notes (owner, body) VALUES ('alice', %s)", ("lost",))
    print(conn.execute("SELECT string_agg(body, ',') FROM notes").fetchone()[0])
    with conn.cursor(name="served") as cursor:
        cursor.execute("SELECT id FROM things ORDER BY id")
        print(len(cursor.fetchmany(30)), cursor.fetchone()[0])
"#;
    assert_eq!(stage.psycopg("alice", script).await.well(), "kept\n30 31\n");
}

#[tokio::test]
async fn a_statement_of_a_long_text_is_kept_like_any_other() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    let long = format!("SELECT length('{}')", "x".repeat(100_000));
    assert_eq!(
        wire.exchange(&[send::parse("long", &long), send::sync()])
            .await
            .tags(),
        "1Z"
    );
    assert_eq!(run(&mut wire, "long", &[]).await.as_deref(), Some("100000"));
    change_server(&stage, &admin).await;
    assert_eq!(run(&mut wire, "long", &[]).await.as_deref(), Some("100000"));
}

#[tokio::test]
async fn statements_beyond_a_users_memory_are_refused_by_name_of_the_limit() {
    let stage = Stage::start(Policy::trusted().spec("limits: {memoryPerUser: 64Ki}")).await;
    let mut wire = stage.wire_of("alice").await;
    let mut refused = None;
    for number in 0..200 {
        let text = format!("SELECT '{}'", "x".repeat(2000));
        let answer = wire
            .exchange(&[send::parse(&format!("s{number}"), &text), send::sync()])
            .await;
        if answer.tags() != "1Z" {
            refused = Some(answer.refusal());
            break;
        }
    }
    let refusal = refused.expect("two hundred statements of 2 kB went into 64 Ki");
    assert_eq!(refusal.code, "54000", "{refusal:?}");
    assert!(refusal.says("limits.memoryPerUser"), "{refusal:?}");
    // The connection is as good as before, and closing makes room.
    assert_eq!(run(&mut wire, "s0", &[]).await.unwrap().len(), 2000);
    wire.exchange(&[
        send::close_statement("s0"),
        send::close_statement("s1"),
        send::sync(),
    ])
    .await;
    let again = wire
        .exchange(&[send::parse("again", "SELECT 1"), send::sync()])
        .await;
    assert_eq!(again.tags(), "1Z");
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
async fn an_error_between_parses_forgets_exactly_what_came_after_it() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire
        .exchange(&[
            send::parse("before", "SELECT 'before'"),
            send::parse("broken", "SELEKT"),
            send::parse("after", "SELECT 'after'"),
            send::close_statement("before"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "1EZ", "{answer:?}");
    assert_eq!(
        run(&mut wire, "before", &[]).await.as_deref(),
        Some("before")
    );
    for name in ["broken", "after"] {
        let gone = wire
            .exchange(&[send::bind("", name, &[]), send::sync()])
            .await;
        assert_eq!(gone.refusal().code, "26000", "{name}");
        assert_eq!(
            wire.exchange(&[send::parse(name, "SELECT 1"), send::sync()])
                .await
                .tags(),
            "1Z"
        );
    }
}

#[tokio::test]
async fn deallocate_in_a_pipeline_keeps_its_place() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.exchange(&[send::parse("a", "SELECT 'a'"), send::sync()])
        .await;
    wire.send(
        [
            send::bind("", "a", &[]),
            send::execute("", 0),
            send::sync(),
            send::query("DEALLOCATE a"),
            send::bind("", "a", &[]),
            send::sync(),
            send::query("SELECT 'end'"),
        ]
        .concat(),
    )
    .await;
    for tags in ["2DCZ", "CZ", "EZ", "TDCZ"] {
        assert_eq!(wire.until_ready().await.tags(), tags);
    }
}
