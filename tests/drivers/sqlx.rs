//! sqlx, and its pool.

use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::stage::Stage;
use sqlx::postgres::{
    PgConnectOptions, PgListener, PgPool, PgPoolCopyExt as _, PgPoolOptions, PgSslMode,
};
use sqlx::{Acquire as _, Executor as _, Row as _};

use futures_util::TryStreamExt as _;

use crate::{Tokens, reset, session_mode, stage, transaction_mode};

/// Everything that [`crate::CHECKS`] names.
async fn works(policy: Policy) {
    let (stage, tokens) = stage(policy).await;
    connects(&stage, &tokens).await;
    let alice = pool(&stage, &tokens, "alice");
    queries_and_binary(&alice).await;
    prepared(&alice).await;
    transactions(&alice).await;
    copies(&alice).await;
    listens(&alice).await;
    cancels(&stage, &alice).await;
    recovers(&alice).await;
    big_rows(&alice).await;
    alice.close().await;
    many_users(&stage, &tokens).await;
}

/// How `user` connects: the token goes with the start-up options.
fn options(stage: &Stage, token: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(stage.sidecar.port())
        .username(APP_ROLE)
        .database(&stage.database)
        .ssl_mode(PgSslMode::Disable)
        .options([("bulkhead.context", token)])
}

fn pool(stage: &Stage, tokens: &Tokens, user: &str) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(3);
    pool.connect_lazy_with(options(stage, &tokens[user]))
}

/// The SQLSTATE with which something has failed.
fn code<T>(outcome: Result<T, sqlx::Error>) -> String {
    let error = outcome.map(|_| ()).unwrap_err();
    let refused = error.as_database_error().and_then(|refused| refused.code());
    refused.unwrap_or_else(|| panic!("{error:?}")).into_owned()
}

async fn connects(stage: &Stage, tokens: &Tokens) {
    let alice = pool(stage, tokens, "alice");
    let set = sqlx::query_scalar::<_, String>("SELECT current_setting('app.user_id')");
    assert_eq!(set.fetch_one(&alice).await.unwrap(), "alice");
    alice.close().await;
    let forged = PgPool::connect_with(options(stage, "forged")).await;
    assert_eq!(code(forged), "28000");
}

async fn queries_and_binary(alice: &PgPool) {
    let rows = sqlx::query("SELECT id, name FROM things WHERE id <= $1 ORDER BY id").bind(3);
    assert_eq!(
        rows.fetch_all(alice).await.unwrap()[2].get::<&str, _>("name"),
        "thing 3"
    );
    let bytes: Vec<u8> = (0..=255).collect();
    let row = sqlx::query("SELECT $1::bytea, $2::int[], $3::text, $4::float8, $5::int8, $6::bool")
        .bind(&bytes)
        .bind(vec![1, -2, i32::MAX])
        .bind(None::<String>)
        .bind(f64::NEG_INFINITY)
        .bind(i64::MIN)
        .bind(true)
        .fetch_one(alice)
        .await
        .unwrap();
    assert_eq!(row.get::<Vec<u8>, _>(0), bytes);
    assert_eq!(row.get::<Vec<i32>, _>(1), [1, -2, i32::MAX]);
    assert_eq!(row.get::<Option<String>, _>(2), None);
    assert_eq!(row.get::<f64, _>(3).to_bits(), f64::NEG_INFINITY.to_bits());
    assert_eq!(row.get::<i64, _>(4), i64::MIN);
    assert!(row.get::<bool, _>(5));
}

/// Its statement cache, over the pool's connections, with statements that are thrown out of it.
async fn prepared(alice: &PgPool) {
    for turn in 0..150 {
        let text = sqlx::AssertSqlSafe(format!("SELECT $1::int + {turn}"));
        let sum = sqlx::query_scalar::<_, i32>(text).bind(1);
        assert_eq!(sum.fetch_one(alice).await.unwrap(), turn + 1);
    }
}

async fn transactions(alice: &PgPool) {
    let insert = || sqlx::query("INSERT INTO notes (owner, body) VALUES ('alice', 'x')");
    let mut transaction = alice.begin().await.unwrap();
    insert().execute(&mut *transaction).await.unwrap();
    let mut savepoint = transaction.begin().await.unwrap();
    insert().execute(&mut *savepoint).await.unwrap();
    assert_eq!(code(savepoint.execute("SELECT 1 / 0").await), "22012");
    savepoint.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    // A transaction that is dropped is rolled back when its connection is used next.
    let mut dropped = alice.begin().await.unwrap();
    insert().execute(&mut *dropped).await.unwrap();
    drop(dropped);
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM notes");
    assert_eq!(count.fetch_one(alice).await.unwrap(), 1);
}

async fn copies(alice: &PgPool) {
    let mut sink = alice.copy_in_raw("COPY things FROM STDIN").await.unwrap();
    for n in 10_000..15_000 {
        sink.send(format!("{n}\tx\n").as_bytes()).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 5000);
    let out = "COPY (SELECT id FROM things WHERE id >= 10000) TO STDOUT";
    let lines: Vec<_> = alice
        .copy_out_raw(out)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(lines.concat().split(|byte| *byte == b'\n').count(), 5001);
    let mut sink = alice.copy_in_raw("COPY things FROM STDIN").await.unwrap();
    sink.send(b"90000\tx\n".as_slice()).await.unwrap();
    sink.abort("given up").await.unwrap();
    let gone = alice.execute("DELETE FROM things WHERE id >= 10000").await;
    assert_eq!(gone.unwrap().rows_affected(), 5000);
}

async fn listens(alice: &PgPool) {
    let mut listener = PgListener::connect_with(alice).await.unwrap();
    listener.listen("news").await.unwrap();
    sqlx::query("SELECT pg_notify('news', $1)")
        .bind("hello")
        .execute(alice)
        .await
        .unwrap();
    let heard = listener.recv().await.unwrap();
    assert_eq!((heard.channel(), heard.payload()), ("news", "hello"));
}

/// It sends no cancels: a query that nobody waits for any more is dropped with its connection, and the sidecar cancels it.
async fn cancels(stage: &Stage, alice: &PgPool) {
    let admin = stage.admin().await;
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                  AND state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    {
        let mut connection = alice.acquire().await.unwrap().detach();
        let sleeps = connection.execute("SELECT pg_sleep(30)");
        tokio::select! {
            _ = sleeps => panic!("it has slept for long"),
            () = stage.until_asleep(&admin) => {}
        }
    }
    bulkhead_tests::wait::until("the statement's end", || async {
        admin.text(asleep).await.as_deref() == Some("0")
    })
    .await;
}

async fn recovers(alice: &PgPool) {
    for _ in 0..3 {
        for (sql, wanted) in [
            ("INSERT INTO things VALUES (1, 'again')", "23505"),
            ("SELECT refuse()", "BH042"),
            (
                "INSERT INTO notes (owner, body) VALUES ('bob', 'stolen')",
                "42501",
            ),
            ("no SQL", "42601"),
        ] {
            assert_eq!(code(alice.execute(sql).await), wanted);
            assert_eq!(code(sqlx::query(sql).execute(alice).await), wanted);
        }
        let mut transaction = alice.begin().await.unwrap();
        assert_eq!(code(transaction.execute("SELECT 1 / 0").await), "22012");
        assert_eq!(code(transaction.execute("SELECT 1").await), "25P02");
        transaction.rollback().await.unwrap();
    }
}

async fn big_rows(alice: &PgPool) {
    let long = sqlx::query_scalar::<_, String>("SELECT repeat('long ', 4000000)");
    let long = long.fetch_one(alice).await.unwrap();
    assert_eq!(long.len(), 20_000_000);
    let back = sqlx::query_scalar::<_, i32>("SELECT length($1::text)").bind(long);
    assert_eq!(back.fetch_one(alice).await.unwrap(), 20_000_000);
    let mut rows =
        sqlx::query("SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n").fetch(alice);
    let mut sum = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        sum += i64::from(row.get::<i32, _>(0));
    }
    assert_eq!(sum, 5_000_050_000);
}

/// A pool for each user, and all work at once: a row that anybody reads is theirs.
async fn many_users(stage: &Stage, tokens: &Tokens) {
    let work = tokens.keys().map(async |user| {
        let pool = pool(stage, tokens, user);
        pool.execute("DELETE FROM notes").await.unwrap();
        let turns = (0..30).map(|_| note(&pool, user));
        futures_util::future::join_all(turns).await;
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM notes");
        assert_eq!(count.fetch_one(&pool).await.unwrap(), 30);
        pool.close().await;
    });
    let all = futures_util::future::join_all(work);
    tokio::time::timeout(Duration::from_secs(240), all)
        .await
        .unwrap();
}

async fn note(pool: &PgPool, user: &str) {
    let mut transaction = pool.begin().await.unwrap();
    let insert = sqlx::query("INSERT INTO notes (owner, body) VALUES ($1, 'x')").bind(user);
    insert.execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let rows = sqlx::query("SELECT owner, current_setting('app.user_id') FROM notes");
    for row in rows.fetch_all(pool).await.unwrap() {
        assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), (user, user));
    }
}

#[tokio::test]
async fn sqlx_works_in_transaction_mode() {
    works(transaction_mode()).await;
}

#[tokio::test]
async fn sqlx_works_in_session_mode() {
    works(session_mode()).await;
}

#[tokio::test]
async fn sqlx_works_in_tier_reset() {
    works(reset()).await;
}
