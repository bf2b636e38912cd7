//! Cancelling a query that runs, over each kind of connection.

use std::time::Duration;

use bulkhead_crds::kinds::TlsMode;
use tokio::time::Instant;

use crate::support::Entry;
use crate::support::certificates::Authority;
use crate::support::fake::{Do, Fake, auth_ok, message, ready};
use crate::support::postgres::Postgres;
use crate::support::query::{answer, ask, send};

async fn a_query_is_cancelled_and_the_connection_lives(entry: &Entry, tls: bool) {
    let mut connection = entry.connect("trusty").await.unwrap();
    let target = connection.cancel.clone().unwrap();
    assert_eq!(target.tls, tls);
    send(&mut connection, "SELECT pg_sleep(600)").await;
    // The server acts on a cancel only once the query runs, so it is seen running first.
    let mut observer = entry.connect("postgres").await.unwrap();
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND wait_event = 'PgSleep'",
        connection.pid.unwrap()
    );
    while ask(&mut observer, &running).await != Ok("1".to_owned()) {}

    let deadline = Instant::now() + Duration::from_secs(20);
    entry.connector().cancel(&target, deadline).await.unwrap();
    assert_eq!(answer(&mut connection).await, Err("57014".to_owned()));
    assert_eq!(ask(&mut connection, "SELECT 1").await, Ok("1".to_owned()));
}

#[tokio::test]
async fn over_tcp() {
    let entry = Entry::new("127.0.0.1", Postgres::shared().port);
    a_query_is_cancelled_and_the_connection_lives(&entry, false).await;
}

#[tokio::test]
async fn over_a_unix_socket() {
    let server = Postgres::shared();
    let entry = Entry::new(server.dir.to_str().unwrap(), server.port);
    a_query_is_cancelled_and_the_connection_lives(&entry, false).await;
}

#[tokio::test]
async fn over_tls() {
    let authority = Authority::new();
    let server = Postgres::start(Some(&authority.server(&["localhost"])));
    let entry =
        Entry::new("localhost", server.port).tls(TlsMode::VerifyFull, Some(&authority.pem()));
    a_query_is_cancelled_and_the_connection_lives(&entry, true).await;
}

#[tokio::test]
async fn a_key_of_256_bytes_is_kept_and_none_at_all_is_no_target() {
    let key = [&77_i32.to_be_bytes()[..], &[9; 256]].concat();
    let with_key = [auth_ok(), message(b'K', &key), ready()].concat();
    let fake = Fake::start(vec![Do::ReadStartup, Do::Write(with_key), Do::Hang]).await;
    let connection = Entry::new("127.0.0.1", fake.port)
        .connect("app")
        .await
        .unwrap();
    assert_eq!(connection.pid, Some(77));
    assert_eq!(connection.cancel.unwrap().key[..], key);

    let without = [auth_ok(), ready()].concat();
    let fake = Fake::start(vec![Do::ReadStartup, Do::Write(without), Do::Hang]).await;
    let connection = Entry::new("127.0.0.1", fake.port)
        .connect("app")
        .await
        .unwrap();
    assert!(connection.pid.is_none() && connection.cancel.is_none());
}

#[tokio::test]
async fn a_server_that_does_not_close_the_cancel_socket_meets_the_deadline() {
    let up = [auth_ok(), message(b'K', &[0; 8]), ready()].concat();
    let fake = Fake::start(vec![Do::ReadStartup, Do::Write(up), Do::Hang]).await;
    let entry = Entry::new("127.0.0.1", fake.port);
    let target = entry.connect("app").await.unwrap().cancel.unwrap();
    let deadline = Instant::now() + Duration::from_millis(200);
    let text = entry
        .connector()
        .cancel(&target, deadline)
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("while cancelling"), "{text}");
}
