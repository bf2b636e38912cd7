//! `connect`: from the first packet to a server that is ready.

use std::time::{Duration, Instant};

use bulkhead_tests::listeners::{Scripted, Silent};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;

use super::{names, until_counted};

#[tokio::test]
async fn connect_ends_when_the_upstream_never_answers() {
    let silent = Silent::listen().await;
    let stage = Stage::with(Policy::trusted().timeouts("connect: 400ms"))
        .upstream(silent.port())
        .unready()
        .start()
        .await;
    let start = Instant::now();
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    names(&refusal, "connect", "400ms");
    wait::no_longer_than(Duration::from_secs(3), start);
    until_counted(&stage, "connect").await;
}

#[tokio::test]
async fn connect_covers_tls_and_authentication() {
    // Given upstreams that fall silent after the first step: TLS agreed to, and a password asked for,
    let asks_for_scram = send::message(b'R', b"\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00");
    for (tls, answer) in [("Require", b"S".to_vec()), ("Disable", asks_for_scram)] {
        let upstream = Scripted::listen(answer).await;
        let policy = Policy::trusted()
            .timeouts("connect: 400ms")
            .database(&format!("upstream: {{tls: {{mode: {tls}}}}}"));
        let stage = Stage::with(policy)
            .upstream(upstream.port())
            .unready()
            .start()
            .await;
        // then the same clock ends the attempt.
        let start = Instant::now();
        let refusal = stage.first_refusal("chat_app+alice").await;
        names(&refusal, "connect", "400ms");
        wait::no_longer_than(Duration::from_secs(3), start);
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_is_told_at_once_and_by_name() {
    let policy = Policy::trusted().timeouts("connect: 9s");
    let nobody = bulkhead_tests::processes::free_port();
    let stage = Stage::with(policy).upstream(nobody).unready().start().await;
    let start = Instant::now();
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    assert!(refusal.says(&nobody.to_string()), "{refusal:?}");
    wait::no_longer_than(Duration::from_secs(5), start);
}

#[tokio::test]
async fn an_upstream_whose_name_does_not_exist_is_named() {
    let policy = Policy::trusted()
        .timeouts("connect: 2s")
        .database("upstream: {host: db.does-not-exist.invalid}");
    let stage = Stage::with(policy).unready().start().await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    assert!(
        refusal.says("db.does-not-exist.invalid")
            || refusal.says("databases[main].timeouts.connect"),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn several_addresses_are_tried() {
    // `localhost` is ::1 as well, where nobody listens.
    let policy = Policy::trusted().database("upstream: {host: localhost}");
    let stage = Stage::start(policy).await;
    assert_eq!(
        stage.user("alice").await.text("SELECT 1").await.as_deref(),
        Some("1")
    );
}
