//! A cancel reaches the query that it is for, and no other.

use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{V3_0, V3_2, Wire, send};
use tokio_postgres::NoTls;

/// Sends a cancel for `pid` and `secret`, and waits until the sidecar has closed without a word.
async fn cancel(stage: &Stage, pid: u32, secret: &[u8]) {
    let mut wire = stage.wire().await;
    wire.send(send::cancel(pid, secret)).await;
    let answer = wire.until_closed().await;
    assert!(answer.is_empty(), "a cancel is never answered: {answer:?}");
}

async fn login(stage: &Stage, user: &str, version: u32) -> Wire {
    let mut wire = stage.wire().await;
    let options = format!("-c bulkhead.user={user}");
    let parameters = [
        ("user", APP_ROLE),
        ("database", &stage.database),
        ("options", &options),
    ];
    wire.login_as(version, &parameters).await.unwrap();
    wire
}

#[tokio::test]
async fn a_cancel_ends_the_right_query_and_no_other() {
    for policy in [Policy::trusted(), Policy::trusted().in_session_mode()] {
        // Given alice, another client of alice, and bob, all asleep,
        let stage = Stage::start(policy).await;
        let admin = stage.admin().await;
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND state = 'active' AND query LIKE 'SELECT pg_sleep%'";
        let mut sleepers = Vec::new();
        for user in ["alice", "alice", "bob"] {
            let mut wire = login(&stage, user, V3_0).await;
            wire.send(send::query("SELECT pg_sleep(30)")).await;
            sleepers.push(wire);
        }
        wait::until("all to be asleep", || async {
            admin.text(asleep).await.as_deref() == Some("3")
        })
        .await;

        for left in (0..3).rev() {
            // when one is cancelled, it ends, and is usable,
            let mut wire = sleepers.remove(0);
            let (pid, secret) = wire.key.clone().unwrap();
            cancel(&stage, pid, &secret).await;
            assert_eq!(wire.until_ready().await.refusal().code, "57014");
            assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
            // and the others sleep on.
            assert_eq!(admin.text(asleep).await, Some(left.to_string()));
        }
    }
}

#[tokio::test]
async fn a_burst_of_wrong_keys_makes_nobody_deaf() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                  AND state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    let mut wire = login(&stage, "alice", V3_0).await;
    let (pid, secret) = wire.key.clone().unwrap();
    wire.send(send::query("SELECT pg_sleep(30)")).await;
    wait::until("alice to be asleep", || async {
        admin.text(asleep).await.as_deref() == Some("1")
    })
    .await;
    let wrong: Vec<u8> = secret.iter().map(|byte| !byte).collect();
    for _ in 0..200 {
        cancel(&stage, pid, &wrong).await;
    }
    assert_eq!(admin.text(asleep).await.as_deref(), Some("1"));
    cancel(&stage, pid, &secret).await;
    assert_eq!(wire.until_ready().await.refusal().code, "57014");
}

#[tokio::test]
async fn a_forged_key_cancels_nothing() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut alice = login(&stage, "alice", V3_0).await;
    let (pid, secret) = alice.key.clone().unwrap();
    assert_eq!(secret.len(), 4, "3.0 has keys of 32 bits");
    let backend: u32 = alice
        .query("SELECT pg_backend_pid()")
        .await
        .value()
        .unwrap()
        .parse()
        .unwrap();
    alice.send(send::query("SELECT pg_sleep(30)")).await;
    stage.until_asleep(&admin).await;

    let flipped: Vec<u8> = secret.iter().map(|byte| byte ^ 0x55).collect();
    let longer = [&secret[..], &[0; 28]].concat();
    for (pid, secret) in [
        (pid, &flipped[..]),
        (pid, &[0; 4]),
        (pid, &longer),
        (pid.wrapping_add(1), &secret),
        (backend, &secret),
        (pid.wrapping_add(1 << 24), &secret),
        (u32::MAX, &secret),
    ] {
        cancel(&stage, pid, secret).await;
        assert!(
            !alice.says_something(Duration::from_millis(30)).await,
            "the forged key {pid} {secret:?} has cancelled: {:?}",
            alice.until_ready().await
        );
    }
    // A key of a length that no protocol version has is told so, and cancels nothing either.
    for secret in [&secret[..2], &[], &[7; 300]] {
        let mut wire = stage.wire().await;
        wire.send(send::cancel(pid, secret)).await;
        assert!(wire.until_closed().await.of(b'R').next().is_none());
    }
    assert!(!alice.says_something(Duration::from_millis(50)).await);

    cancel(&stage, pid, &secret).await;
    assert_eq!(alice.until_ready().await.refusal().code, "57014");
}

#[tokio::test]
async fn a_process_id_is_never_zero_which_clients_take_for_none() {
    let stage = Stage::with(Policy::trusted()).workers(1).start().await;
    for _ in 0..3 {
        let wire = login(&stage, "alice", V3_0).await;
        let pid = wire.key.as_ref().unwrap().0;
        assert!(0 < pid && pid <= i32::MAX as u32, "{pid}");
    }
}

#[tokio::test]
async fn the_keys_of_two_clients_differ_and_are_not_the_servers() {
    let stage = Stage::start(Policy::trusted()).await;
    let one = login(&stage, "alice", V3_0).await;
    let two = login(&stage, "alice", V3_0).await;
    assert_ne!(one.key.unwrap().1, two.key.unwrap().1);
}

#[tokio::test]
async fn protocol_3_2_has_a_key_of_32_bytes_that_counts_whole() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut alice = login(&stage, "alice", V3_2).await;
    let (pid, secret) = alice.key.clone().unwrap();
    assert_eq!(secret.len(), 32);
    alice.send(send::query("SELECT pg_sleep(30)")).await;
    stage.until_asleep(&admin).await;

    let mut flipped = secret.clone();
    flipped[31] ^= 1;
    cancel(&stage, pid, &secret[..4]).await;
    cancel(&stage, pid, &flipped).await;
    assert!(
        !alice.says_something(Duration::from_millis(200)).await,
        "a part of the key has cancelled"
    );

    cancel(&stage, pid, &secret).await;
    assert_eq!(alice.until_ready().await.refusal().code, "57014");
    assert_eq!(alice.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_later_minor_version_and_unknown_options_are_negotiated_down() {
    let stage = Stage::start(Policy::trusted()).await;
    let parameters = [
        ("user", "chat_app+alice"),
        ("database", &stage.database),
        ("_pq_.made_up", "1"),
    ];
    let mut wire = stage.wire().await;
    let login = wire.login_as((3 << 16) | 9, &parameters).await.unwrap();
    let negotiation: Vec<_> = login.of(b'v').collect();
    assert_eq!(negotiation.len(), 1, "{login:?}");
    let body = &negotiation[0].body;
    assert_eq!(
        u32::from_be_bytes(body[..4].try_into().unwrap()),
        V3_2,
        "the newest that is spoken"
    );
    assert_eq!(u32::from_be_bytes(body[4..8].try_into().unwrap()), 1);
    assert_eq!(&body[8..], b"_pq_.made_up\0");
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_late_cancel_hits_nobody_who_has_the_connection_now() {
    // Given two clients of one user, who share one server connection,
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let admin = stage.admin().await;
    let mut one = login(&stage, "alice", V3_0).await;
    let mut two = login(&stage, "alice", V3_0).await;
    one.query("SELECT 1").await;
    two.send(send::query("SELECT pg_sleep(1)")).await;
    stage.until_asleep(&admin).await;

    // when the one whose query is over is cancelled,
    let (pid, secret) = one.key.clone().unwrap();
    cancel(&stage, pid, &secret).await;

    // then the other's query comes to its own end.
    let answer = two.until_ready().await;
    assert_eq!(answer.tags(), "TDCZ", "{answer:?}");
}

#[tokio::test]
async fn a_cancel_that_races_with_the_end_of_its_query_never_hits_the_next() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let alice = stage.user("alice").await;
    let other = stage.user("alice").await;
    for round in 0..40 {
        let token = alice.cancel_token();
        let short = format!("SELECT pg_sleep({})", f64::from(round % 8) / 1000.0);
        let (ended, sent) = tokio::join!(alice.simple_query(&short), token.cancel_query(NoTls));
        sent.unwrap();
        if let Err(error) = ended {
            assert_eq!(Refusal::from(error).code, "57014");
        }
        // The next on the same server connection is somebody else's.
        assert_eq!(
            other.text("SELECT 'next'").await.as_deref(),
            Some("next"),
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_cancel_ends_the_wait_for_a_connection() {
    let policy = Policy::trusted()
        .pool("perUser: {max: 1}")
        .timeouts("acquire: 9s");
    let stage = Stage::start(policy).await;
    let holder = stage.user("alice").await;
    holder.run("BEGIN; SELECT 1").await;
    let waiter = stage.user("alice").await;
    let token = waiter.cancel_token();
    let query = wait::within("the waiting query", waiter.simple_query("SELECT 1"));
    let start = std::time::Instant::now();
    tokio::pin!(query);
    // The wait may not have begun when the first cancel comes, so it is repeated until it is heard.
    let ended = loop {
        tokio::select! {
            ended = &mut query => break ended,
            () = tokio::time::sleep(Duration::from_millis(100)) => { token.cancel_query(NoTls).await.unwrap(); }
        }
    };
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "it waited for acquire"
    );
    assert_eq!(Refusal::from(ended.unwrap_err()).code, "57014");
    holder.run("COMMIT").await;
    assert_eq!(waiter.text("SELECT 1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_client_that_does_not_read_can_be_cancelled() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut alice = login(&stage, "alice", V3_0).await;
    alice
        .send(send::query(
            "SELECT repeat('x', 1000), generate_series(1, 100000000)",
        ))
        .await;
    stage.until_stuck_in_write(&admin).await;
    let (pid, secret) = alice.key.clone().unwrap();
    cancel(&stage, pid, &secret).await;
    wait::until("the query's end on the server", || async {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND state = 'active' AND query LIKE '%repeat%' AND usename <> 'postgres'";
        admin.text(running).await.as_deref() == Some("0")
    })
    .await;
}

#[tokio::test]
async fn a_query_whose_client_has_died_is_cancelled_on_the_server() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut alice = login(&stage, "alice", V3_0).await;
    alice.send(send::query("SELECT pg_sleep(30)")).await;
    let asleep = "state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    stage.until_server(&admin, asleep).await;
    drop(alice);
    wait::until("the query's end on the server", || async {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {asleep}"
        );
        admin.text(&query).await.as_deref() == Some("0")
    })
    .await;
}
