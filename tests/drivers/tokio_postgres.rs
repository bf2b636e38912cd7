//! tokio-postgres, which has no pool of its own: a user has several clients.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::{Session, connect};
use bulkhead_tests::stage::Stage;
use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _};
use tokio_postgres::{AsyncMessage, Client};

use crate::{Tokens, reset, session_mode, stage, transaction_mode};

/// Everything that [`crate::CHECKS`] names.
async fn works(policy: Policy) {
    let (stage, tokens) = stage(policy).await;
    connects(&stage, &tokens).await;
    let mut alice = of(&stage, &tokens, "alice").await;
    queries_and_binary(&alice).await;
    let other = of(&stage, &tokens, "alice").await;
    prepared(&alice, &other).await;
    other.close().await;
    transactions(&mut alice).await;
    pipeline(&alice).await;
    copies(&alice).await;
    listens(of(&stage, &tokens, "alice").await, &alice).await;
    cancels(&stage, &alice).await;
    recovers(&alice).await;
    big_rows(&alice).await;
    drop(alice);
    many_users(&stage, &tokens).await;
}

/// A session of `user`, whose token goes with the start-up options.
async fn of(stage: &Stage, tokens: &Tokens, user: &str) -> Session {
    let mut config = stage.config();
    config.options(format!("-c bulkhead.context={}", tokens[user]));
    connect(&config).await.unwrap()
}

async fn connects(stage: &Stage, tokens: &Tokens) {
    let alice = of(stage, tokens, "alice").await;
    let set = alice.text("SELECT current_setting('app.user_id')").await;
    assert_eq!(set.as_deref(), Some("alice"));
    let forged = stage.try_options("-c bulkhead.context=forged").await;
    assert_eq!(Refusal::from(forged.map(|_| ()).unwrap_err()).code, "28000");
}

async fn queries_and_binary(alice: &Client) {
    let rows = alice
        .query(
            "SELECT id, name FROM things WHERE id <= $1 ORDER BY id",
            &[&3],
        )
        .await;
    assert_eq!(rows.unwrap()[2].get::<_, &str>("name"), "thing 3");
    let bytes: Vec<u8> = (0..=255).collect();
    let moment = SystemTime::UNIX_EPOCH + Duration::from_micros(1_772_323_199_123_456);
    let (list, nothing) = (vec![1, -2, i32::MAX], None::<&str>);
    let row = alice
        .query_one(
            "SELECT $1::bytea, $2::timestamptz, $3::int[], $4::text, $5::float8, $6::int8",
            &[
                &bytes,
                &moment,
                &list,
                &nothing,
                &f64::NEG_INFINITY,
                &i64::MIN,
            ],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, Vec<u8>>(0), bytes);
    assert_eq!(row.get::<_, SystemTime>(1), moment);
    assert_eq!(row.get::<_, Vec<i32>>(2), list);
    assert_eq!(row.get::<_, Option<String>>(3), None);
    assert_eq!(row.get::<_, f64>(4).to_bits(), f64::NEG_INFINITY.to_bits());
    assert_eq!(row.get::<_, i64>(5), i64::MIN);
}

async fn prepared(one: &Client, two: &Client) {
    // Both clients call their statement s0, or whatever comes next in this process; the texts differ.
    let sum = one.prepare("SELECT $1::int + 1").await.unwrap();
    let text = two.prepare("SELECT $1::text || '!'").await.unwrap();
    for turn in 0..20 {
        let row = one.query_one(&sum, &[&turn]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), turn + 1);
        let row = two.query_one(&text, &[&turn.to_string()]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), format!("{turn}!"));
    }
}

async fn transactions(alice: &mut Client) {
    let insert = "INSERT INTO notes (owner, body) VALUES ('alice', $1)";
    let mut transaction = alice.transaction().await.unwrap();
    transaction.execute(insert, &[&"kept"]).await.unwrap();
    let savepoint = transaction.transaction().await.unwrap();
    savepoint.execute(insert, &[&"lost"]).await.unwrap();
    savepoint.batch_execute("SELECT 1 / 0").await.unwrap_err();
    savepoint.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    let transaction = alice
        .build_transaction()
        .read_only(true)
        .start()
        .await
        .unwrap();
    let refused = transaction.execute(insert, &[&"lost"]).await.unwrap_err();
    assert_eq!(Refusal::from(refused).code, "25006");
    // A transaction that is dropped is rolled back.
    drop(transaction);
    let count = alice
        .query_one("SELECT count(*) FROM notes", &[])
        .await
        .unwrap();
    assert_eq!(count.get::<_, i64>(0), 1);
}

async fn pipeline(alice: &Client) {
    let doubles = (0..200).map(async |n| {
        let row = alice.query_one("SELECT $1::int * 2", &[&n]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), n * 2);
    });
    futures_util::future::join_all(doubles).await;
    let (before, broken, after) = tokio::join!(
        alice.query_one("SELECT 1", &[]),
        alice.query_one("SELECT 1 / $1::int", &[&0]),
        alice.query_one("SELECT 2", &[]),
    );
    assert_eq!(before.unwrap().get::<_, i32>(0), 1);
    assert_eq!(Refusal::from(broken.unwrap_err()).code, "22012");
    assert_eq!(after.unwrap().get::<_, i32>(0), 2);
}

async fn copies(alice: &Client) {
    let mut sink = pin!(alice.copy_in("COPY things FROM STDIN").await.unwrap());
    for n in 10_000..15_000 {
        sink.feed(Bytes::from(format!("{n}\tx\n"))).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 5000);
    let out = "COPY (SELECT id FROM things WHERE id >= 10000) TO STDOUT";
    let lines: Vec<Bytes> = alice
        .copy_out(out)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let lines = lines.concat().split(|byte| *byte == b'\n').count();
    assert_eq!(lines, 5001);
    // A sink that is dropped has given up.
    let mut sink = Box::pin(alice.copy_in("COPY things FROM STDIN").await.unwrap());
    sink.send(Bytes::from("90000\tx\n")).await.unwrap();
    drop(sink);
    let gone = alice
        .execute("DELETE FROM things WHERE id >= 10000", &[])
        .await;
    assert_eq!(gone.unwrap(), 5000);
}

async fn listens(mut listener: Session, speaker: &Client) {
    listener.run("LISTEN news").await;
    speaker
        .execute("SELECT pg_notify('news', $1)", &[&"hello"])
        .await
        .unwrap();
    let AsyncMessage::Notification(heard) = listener.unasked().await else {
        panic!("something else came");
    };
    assert_eq!((heard.channel(), heard.payload()), ("news", "hello"));
    listener.close().await;
}

async fn cancels(stage: &Stage, alice: &Session) {
    let admin = stage.admin().await;
    for _ in 0..3 {
        assert_eq!(stage.cancelled_asleep(&admin, alice).await.code, "57014");
        assert_eq!(alice.text("SELECT 1").await.as_deref(), Some("1"));
    }
}

async fn recovers(alice: &Session) {
    for _ in 0..3 {
        for (sql, code) in [
            ("INSERT INTO things VALUES (1, 'again')", "23505"),
            ("SELECT refuse()", "BH042"),
            (
                "INSERT INTO notes (owner, body) VALUES ('bob', 'stolen')",
                "42501",
            ),
            ("BEGIN; no SQL", "42601"),
        ] {
            assert_eq!(alice.refused(sql).await.code, code);
        }
        alice.run("BEGIN").await;
        assert_eq!(alice.refused("SELECT 1 / 0").await.code, "22012");
        assert_eq!(alice.refused("SELECT 1").await.code, "25P02");
        alice.run("ROLLBACK").await;
    }
}

async fn big_rows(alice: &Client) {
    let row = alice
        .query_one("SELECT repeat('long ', 4000000)", &[])
        .await
        .unwrap();
    let long: &str = row.get(0);
    assert_eq!(long.len(), 20_000_000);
    let back = alice
        .query_one("SELECT length($1::text)", &[&long])
        .await
        .unwrap();
    assert_eq!(back.get::<_, i32>(0), 20_000_000);
    let rows = "SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n";
    let rows = alice.query_raw(rows, &[] as &[i32]).await.unwrap();
    let sum = rows.try_fold(0_i64, async |sum, row| {
        Ok(sum + i64::from(row.get::<_, i32>(0)))
    });
    assert_eq!(sum.await.unwrap(), 5_000_050_000);
}

/// Three clients of each user, all at once: a row that anybody reads is theirs.
async fn many_users(stage: &Stage, tokens: &Tokens) {
    let work = tokens.keys().map(async |user| {
        let clients = [(); 3].map(async |()| of(stage, tokens, user).await);
        let clients = futures_util::future::join_all(clients).await;
        clients[0].run("DELETE FROM notes").await;
        let turns = clients.iter().map(|client| notes(client, user));
        futures_util::future::join_all(turns).await;
        let count = clients[1].text("SELECT count(*) FROM notes").await;
        assert_eq!(count.as_deref(), Some("30"));
    });
    futures_util::future::join_all(work).await;
}

async fn notes(client: &Client, user: &str) {
    for _ in 0..10 {
        let insert = "INSERT INTO notes (owner, body) VALUES ($1, 'x')";
        client.execute(insert, &[&user]).await.unwrap();
        let rows = "SELECT owner, current_setting('app.user_id') FROM notes";
        for row in client.query(rows, &[]).await.unwrap() {
            assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), (user, user));
        }
    }
}

#[tokio::test]
async fn tokio_postgres_works_in_transaction_mode() {
    works(transaction_mode()).await;
}

#[tokio::test]
async fn tokio_postgres_works_in_session_mode() {
    works(session_mode()).await;
}

#[tokio::test]
async fn tokio_postgres_works_in_tier_reset() {
    works(reset()).await;
}
