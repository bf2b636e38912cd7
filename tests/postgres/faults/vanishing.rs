//! A client that goes while its query runs: by an end, by a reset, in silence, or in the middle of the next message. What runs is
//! cancelled on the server, and the connection is somebody's again only when it is proven clean.

use bulkhead_tests::listeners::{Detour, Link};
use bulkhead_tests::postgres::{APP_ROLE, Server};
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{Wire, send};
use tokio::net::TcpStream;

use super::policy;

/// What alice leaves behind in her session.
const STATE: [&str; 5] = [
    "SET search_path = pg_catalog",
    "SELECT set_config('app.mark', 'hers', false)",
    "CREATE TEMP TABLE hers (n int)",
    "SELECT pg_advisory_lock(4711)",
    "LISTEN hers",
];

/// What is left of it, as the next one sees it.
const LEFT: &str = "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), \
    (SELECT count(*) FROM pg_class WHERE relname = 'hers'), (SELECT count(*) FROM pg_listening_channels()), \
    current_setting('search_path'), coalesce(current_setting('app.mark', true), '')";

async fn log_in(stage: &Stage, stream: TcpStream) -> Wire {
    let mut wire = Wire::over(stream);
    let parameters = [
        ("user", APP_ROLE),
        ("database", stage.database.as_str()),
        ("options", "-c bulkhead.user=alice"),
    ];
    wire.login(&parameters).await.unwrap();
    wire
}

async fn until_nothing_sleeps(admin: &Session) {
    wait::until("the query's end on the server", || async {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()";
        admin.text(query).await.as_deref() == Some("0")
    })
    .await;
}

/// Has alice leave state and a running query behind; `go` is how she goes. Her next client must get the very connection, clean.
async fn vanishes(tier: &str, reset: bool) {
    let policy = policy().tier(tier).pool("perUser: {max: 1}");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let stream = TcpStream::connect(("127.0.0.1", stage.sidecar.port()))
        .await
        .unwrap();
    if reset {
        stream.set_zero_linger().unwrap();
    }
    let mut alice = log_in(&stage, stream).await;
    let clean = alice.query(LEFT).await.rows();
    for statement in STATE {
        alice.query(statement).await;
    }
    let pid = alice.server_pid().await;
    alice
        .send(send::query("SELECT pg_catalog.pg_sleep(60)"))
        .await;
    stage
        .until_server(&admin, "state = 'active' AND query LIKE '%pg_sleep%'")
        .await;
    drop(alice);
    until_nothing_sleeps(&admin).await;
    let mut next = stage.wire_of("alice").await;
    assert_eq!(
        next.query(LEFT).await.rows(),
        clean,
        "{tier}, reset {reset}"
    );
    assert_eq!(
        next.server_pid().await,
        pid,
        "it was clean, and is used again"
    );
}

#[tokio::test]
async fn a_client_that_ends_or_resets_its_connection_has_its_query_cancelled_and_leaves_no_trace() {
    for tier in ["Dedicated", "Reset"] {
        vanishes(tier, false).await;
        vanishes(tier, true).await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_in_silence_holds_its_connection_no_longer_than_the_statement_may() {
    // Given a client behind a link that loses everything without a word,
    let policy = policy()
        .pool("perUser: {max: 1}")
        .timeouts("statement: 700ms, acquire: 9s");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let link = Link::to(stage.sidecar.port()).await;
    let stream = TcpStream::connect(("127.0.0.1", link.port()))
        .await
        .unwrap();
    let mut alice = log_in(&stage, stream).await;
    alice.send(send::query("SELECT pg_sleep(60)")).await;
    stage.until_asleep(&admin).await;
    link.black_hole();
    // then her query ends when its time is over, and her only connection serves her next client.
    let next = stage.user("alice").await;
    assert_eq!(next.text("SELECT 'next'").await.as_deref(), Some("next"));
    until_nothing_sleeps(&admin).await;
}

#[tokio::test]
async fn a_client_that_goes_inside_of_the_next_message_has_its_query_cancelled_all_the_same() {
    let stage = Stage::start(policy()).await;
    let admin = stage.admin().await;
    let mut alice = stage.wire_of("alice").await;
    let next = send::query(&format!("SELECT '{}'", "x".repeat(100_000)));
    let sent = [&send::query("SELECT pg_sleep(60)")[..], &next[..40_000]].concat();
    alice.send(sent).await;
    stage.until_asleep(&admin).await;
    drop(alice);
    until_nothing_sleeps(&admin).await;
    stage.until_no_server_session(&admin).await;
}

#[tokio::test]
async fn a_cancel_that_is_reset_on_its_way_may_come_late_and_its_connection_is_used_by_nobody_more()
{
    // Given a cancel whose connection is reset before it has reached the server,
    let detour = Detour::to(Server::shared().place().port).await;
    let policy = policy().pool("perUser: {max: 1}");
    let stage = Stage::with(policy).upstream(detour.port()).start().await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    let before = alice.server_pid().await;
    let token = alice.cancel_token();
    let (slept, ()) = tokio::join!(alice.simple_query("SELECT pg_sleep(1)"), async {
        stage.until_asleep(&admin).await;
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        detour.until_kept().await;
    });
    slept.unwrap();
    // when it comes late, while the next statement runs,
    let (next, ()) = tokio::join!(alice.simple_query("SELECT pg_sleep(0.3)"), async {
        stage.until_asleep(&admin).await;
        detour.deliver().await;
    });
    // then that is on another connection, and comes to its end.
    next.unwrap();
    assert_ne!(alice.server_pid().await, before);
}

#[tokio::test]
async fn the_connection_of_a_client_that_vanished_is_proven_clean_before_another_user_has_it() {
    // Given one connection for everybody in tier Reset, and a client that vanishes from the middle of a transaction,
    let policy = policy()
        .tier("Reset")
        .pool("maxConnections: 1, perUser: {max: 1}")
        .timeouts("acquire: 9s");
    let stage = Stage::with(policy).workers(1).start().await;
    let admin = stage.admin().await;
    let mut alice = stage.wire_of("alice").await;
    let pid = alice.server_pid().await;
    alice.query("BEGIN").await;
    for statement in STATE {
        alice.query(statement).await;
    }
    alice
        .send(send::query("SELECT pg_catalog.pg_sleep(60)"))
        .await;
    stage
        .until_server(&admin, "state = 'active' AND query LIKE '%pg_sleep%'")
        .await;
    drop(alice);
    // then bob gets that very connection, and finds nothing of hers.
    let mut bob = stage.wire_of("bob").await;
    let left = bob.query(LEFT).await.rows();
    assert_eq!(
        left[0][..3],
        ["0", "0", "0"].map(|zero| Some(zero.to_owned()))
    );
    assert_eq!(left[0][4].as_deref(), Some(""));
    assert_eq!(bob.server_pid().await, pid);
    assert!(stage.cross_user_handoffs() > 0.5);
}
