//! Transaction mode: what keeps a server connection with its client, because the client will come back for what it left there.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::send;

/// Makes something, lets a second client of the same user work, and looks whether it is still there for the first and
/// nowhere for the second.
async fn kept(make: &[&str], look: &str, there: &str) {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 2}")).await;
    let (one, two) = (stage.user("alice").await, stage.user("alice").await);
    for sql in make {
        one.run(sql).await;
    }
    for round in 0..3 {
        let other = two.text(look).await;
        assert_ne!(
            other.as_deref(),
            Some(there),
            "{make:?} shows elsewhere, round {round}"
        );
        assert_eq!(
            one.text(look).await.as_deref(),
            Some(there),
            "{make:?} is lost, round {round}"
        );
    }
}

const TEMPORARY: &str = "SELECT count(*) FROM pg_class WHERE relname = 'mine' \
                         AND relnamespace = pg_my_temp_schema()";

#[tokio::test]
async fn a_temporary_table_stays_however_it_was_made() {
    for make in [
        "CREATE TEMP TABLE mine (n int)",
        "create temporary table mine (n int)",
        "CREATE LOCAL TEMP TABLE mine (n int)",
        "CREATE TEMP TABLE mine AS SELECT 1 AS n",
        "SELECT 1 AS n INTO TEMP mine",
        "SELECT 1 AS n INTO TEMPORARY TABLE mine",
        "/* a note */ CREATE TEMP TABLE mine (n int)",
        "-- a note\nCREATE /* inside */ TEMP TABLE mine (n int)",
        "SELECT 1; CREATE TEMP TABLE mine (n int)",
        "CREATE TABLE pg_temp.mine (n int)",
        "CREATE TEMP VIEW mine AS SELECT 1",
        "CREATE TEMP SEQUENCE mine",
        "WITH x AS (SELECT 1 AS n) SELECT * INTO TEMP mine FROM x",
    ] {
        kept(&[make], TEMPORARY, "1").await;
    }
}

#[tokio::test]
async fn a_temporary_table_of_a_transaction_stays_after_it() {
    kept(
        &["BEGIN", "CREATE TEMP TABLE mine (n int)", "COMMIT"],
        TEMPORARY,
        "1",
    )
    .await;
}

#[tokio::test]
async fn a_listener_stays() {
    for make in [
        "LISTEN gossip",
        "SELECT 1; LISTEN gossip",
        "/* x */ listen gossip",
    ] {
        kept(&[make], "SELECT count(*) FROM pg_listening_channels()", "1").await;
    }
}

#[tokio::test]
async fn a_cursor_with_hold_stays() {
    kept(
        &["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "COMMIT"],
        "SELECT count(*) FROM pg_cursors WHERE name = 'c'",
        "1",
    )
    .await;
}

#[tokio::test]
async fn a_session_advisory_lock_stays() {
    const HELD: &str =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    for make in [
        "SELECT pg_advisory_lock(7)",
        "SELECT pg_try_advisory_lock(7)",
        "SELECT pg_catalog.pg_advisory_lock_shared(7)",
        "SELECT 1, PG_ADVISORY_LOCK(7)",
    ] {
        kept(&[make], HELD, "1").await;
    }
}

#[tokio::test]
async fn a_prepared_statement_of_sql_stays() {
    kept(
        &["PREPARE p AS SELECT 1"],
        "SELECT count(*) FROM pg_prepared_statements WHERE name = 'p'",
        "1",
    )
    .await;
}

#[tokio::test]
async fn a_setting_stays_with_the_client_that_made_it() {
    for make in [
        &["SET work_mem = '7MB'"][..],
        &["set session work_mem to '7MB'"],
        &["SELECT 1; SET work_mem = '7MB'"],
        &["SELECT set_config('work_mem', '7MB', false)"],
        &["BEGIN", "SET work_mem = '7MB'", "COMMIT"],
        &[
            "SET work_mem = '5MB'",
            "BEGIN",
            "SET work_mem = '6MB'",
            "ROLLBACK",
            "SET work_mem = '7MB'",
        ],
        &[
            "SET work_mem = '7MB'",
            "BEGIN",
            "SET work_mem = '6MB'",
            "ROLLBACK",
        ],
        &[
            "SET work_mem = '7MB'",
            "BEGIN",
            "SET LOCAL work_mem = '6MB'",
            "COMMIT",
        ],
        &[
            "SET work_mem = '7MB'",
            "BEGIN",
            "SAVEPOINT s",
            "SET work_mem = '6MB'",
            "ROLLBACK TO s",
            "COMMIT",
        ],
    ] {
        kept(make, "SHOW work_mem", "7MB").await;
    }
}

#[tokio::test]
async fn a_setting_that_was_taken_back_is_gone() {
    for undo in [
        "RESET work_mem",
        "SET work_mem TO DEFAULT",
        "RESET ALL",
        "DISCARD ALL",
    ] {
        let stage = Stage::start(Policy::trusted().pool("perUser: {max: 2}")).await;
        let one = stage.user("alice").await;
        let before = one.text("SHOW work_mem").await;
        one.run("SET work_mem = '7MB'").await;
        one.run(undo).await;
        assert_eq!(one.text("SHOW work_mem").await, before, "after {undo}");
    }
}

#[tokio::test]
async fn a_role_stays_with_the_client_that_took_it() {
    for make in [
        "SET ROLE chat_reader",
        "SET SESSION ROLE chat_reader",
        "SELECT set_config('role', 'chat_reader', false)",
    ] {
        kept(&[make], "SELECT current_user", "chat_reader").await;
    }
}

#[tokio::test]
async fn state_made_through_the_extended_protocol_stays_too() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 2}")).await;
    let two = stage.user("alice").await;
    let mut one = stage.wire_of("alice").await;
    for make in ["CREATE TEMP TABLE mine (n int)", "SET work_mem = '7MB'"] {
        one.exchange(&[send::run_unnamed(make), send::sync()]).await;
        // And by a named statement.
        let again = make.replace("mine", "mine_too").replace("7MB", "6MB");
        one.prepare("make", &again).await;
        one.execute("make", &[]).await;
        one.close("make").await;
    }
    two.run("SELECT 1").await;
    let tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'mine%' AND relnamespace = pg_my_temp_schema()";
    assert_eq!(one.query(tables).await.value().as_deref(), Some("2"));
    assert_eq!(
        one.query("SHOW work_mem").await.value().as_deref(),
        Some("6MB")
    );
    assert_eq!(two.text("SHOW work_mem").await.as_deref(), Some("4MB"));
}

#[tokio::test]
async fn what_ends_with_its_transaction_keeps_nothing() {
    let stage = Stage::start(
        Policy::trusted()
            .pool("perUser: {max: 1}")
            .timeouts("acquire: 2s"),
    )
    .await;
    let (one, two) = (stage.user("alice").await, stage.user("alice").await);
    let in_turn = async |one: &Session, two: &Session, sql: &str| {
        one.run(sql).await;
        // With one connection for both, the second is served only if the first lets go.
        let served = two.simple_query("SELECT 1").await;
        assert!(served.is_ok(), "after {sql}: {served:?}");
    };
    for sql in [
        "BEGIN; SET LOCAL work_mem = '7MB'; COMMIT",
        "SELECT set_config('work_mem', '7MB', true)",
        "BEGIN; SELECT pg_advisory_xact_lock(1); COMMIT",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; COMMIT",
        "NOTIFY gossip",
        "SAVEPOINT s",
    ] {
        if sql == "SAVEPOINT s" {
            // Outside of a transaction it is an error, and no state.
            one.refused(sql).await;
            assert_eq!(two.text("SELECT 1").await.as_deref(), Some("1"));
        } else {
            in_turn(&one, &two, sql).await;
        }
    }
}

#[tokio::test]
async fn words_inside_a_literal_keep_nothing() {
    for words in [
        "CREATE TEMP TABLE x (n int)",
        "; LISTEN y;",
        "SET a = b",
        "ask pg_advisory_lock(1) for it",
    ] {
        let stage = Stage::start(
            Policy::trusted()
                .pool("perUser: {max: 1}")
                .timeouts("acquire: 1s"),
        )
        .await;
        let (one, two) = (stage.user("alice").await, stage.user("alice").await);
        one.run(&format!("SELECT '{words}'")).await;
        let served = two.simple_query("SELECT 1").await;
        assert!(
            served.is_ok(),
            "a message that says {words:?} keeps the connection: {served:?}"
        );
    }
}

#[tokio::test]
async fn a_pinned_connection_is_cleaned_when_its_client_leaves() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    for make in [
        "CREATE TEMP TABLE mine (n int)",
        "SELECT pg_advisory_lock(7)",
        "LISTEN gossip",
        "SET ROLE chat_reader",
    ] {
        let one = stage.user("alice").await;
        one.run(make).await;
        one.close().await;
        let two = stage.user("alice").await;
        assert_eq!(two.text(TEMPORARY).await.as_deref(), Some("0"), "{make}");
        assert_eq!(
            two.text("SELECT count(*) FROM pg_listening_channels()")
                .await
                .as_deref(),
            Some("0")
        );
        let locks =
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
        assert_eq!(two.text(locks).await.as_deref(), Some("0"), "{make}");
        assert_eq!(
            two.text("SELECT current_user").await.as_deref(),
            Some("chat_app"),
            "{make}"
        );
        two.close().await;
    }
}

#[tokio::test]
async fn asyncpgs_pool_shares_two_server_connections_among_six_clients() {
    let policy = Policy::trusted()
        .pool("perUser: {max: 2}")
        .timeouts("acquire: 5s");
    let stage = Stage::start(policy).await;
    // What it says when a connection is given back ends with RESET ALL, and what it asks about a type that it does not know
    // begins with set_config.
    let script = r#"
import asyncio, asyncpg, os

async def work():
    user = os.environ["PGUSER"] + "+alice"
    async with asyncpg.create_pool(user=user, min_size=6, max_size=6) as pool:
        async with pool.acquire() as one:
            await one.execute("CREATE TYPE mood AS ENUM ('calm', 'wild')")
        async def turn(number):
            async with pool.acquire() as one:
                assert await one.fetchval("SELECT $1::int", number) == number
                assert await one.fetchval("SELECT 'wild'::mood") == "wild"
                assert await one.fetchval("SELECT ARRAY['calm']::mood[]") == ["calm"]
                await one.execute("SET work_mem = '7MB'")
                assert await one.fetchval("SHOW work_mem") == "7MB"
        await asyncio.gather(*[turn(number) for number in range(24)])
        async with pool.acquire() as one:
            print(await one.fetchval("SHOW work_mem"))

asyncio.run(work())
"#;
    assert_eq!(stage.psycopg("alice", script).await.well(), "4MB\n");
}
