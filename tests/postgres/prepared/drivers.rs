//! Drivers that prepare by themselves.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;

use super::change_server;

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
