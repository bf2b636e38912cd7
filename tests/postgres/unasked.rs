//! What the server says without being asked: notices, notifications, changed parameters; and function calls.

use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::send;
use tokio_postgres::AsyncMessage;

#[tokio::test]
async fn a_listener_hears_while_it_is_idle() {
    // In Transaction mode LISTEN pins the server connection to its client.
    for policy in [Policy::trusted().in_session_mode(), Policy::trusted()] {
        let stage = Stage::start(policy).await;
        let mut listener = stage.user("alice").await;
        listener.run("LISTEN gossip").await;
        let speaker = stage.user("bob").await;
        for word in ["one", "two"] {
            speaker.run(&format!("NOTIFY gossip, '{word}'")).await;
            let AsyncMessage::Notification(heard) = listener.unasked().await else {
                panic!("something else was heard");
            };
            assert_eq!((heard.channel(), heard.payload()), ("gossip", word));
        }
        // And it can still ask.
        assert_eq!(listener.text("SELECT 1").await.as_deref(), Some("1"));
        listener.run("UNLISTEN *").await;
    }
}

#[tokio::test]
async fn a_notification_does_not_reach_whoever_did_not_listen() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 2}")).await;
    let listener = stage.user("alice").await;
    listener.run("LISTEN gossip").await;
    let mut other = stage.wire_of("alice").await;
    other.query("SELECT 1").await;
    stage.user("bob").await.run("NOTIFY gossip, 'psst'").await;
    let answer = other.query("SELECT 2").await;
    assert_eq!(answer.of(b'A').count(), 0, "{answer:?}");
}

#[tokio::test]
async fn notices_come_with_the_query_that_raised_them() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire.query("SELECT complain('loud')").await;
    let notices: Vec<_> = answer.of(b'N').collect();
    assert_eq!(notices.len(), 1, "{answer:?}");
    assert!(format!("{:?}", notices[0]).contains("complaint: loud"));
    assert_eq!(wire.query("SELECT 1").await.of(b'N').count(), 0);
}

#[tokio::test]
async fn a_changed_parameter_is_reported_and_each_client_is_told_its_own() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut one = stage.wire_of("alice").await;
    one.query("SET TIME ZONE 'Asia/Tokyo'").await;
    assert_eq!(one.parameters["TimeZone"], "Asia/Tokyo");
    assert_eq!(
        one.query("SHOW timezone").await.value().as_deref(),
        Some("Asia/Tokyo")
    );
}

#[tokio::test]
async fn a_parameter_that_the_server_changes_is_reported_to_a_client_that_is_connected() {
    for policy in [Policy::trusted().in_session_mode(), Policy::trusted()] {
        let server = Server::own();
        let stage = Stage::on(&server, policy).start().await;
        let admin = stage.admin().await;
        let mut wire = stage.wire_of("alice").await;
        wire.query("SELECT 1").await;
        admin.run("ALTER SYSTEM SET DateStyle = 'German'").await;
        admin.run("SELECT pg_reload_conf()").await;
        // PostgreSQL reports at the end of the next query after it has read its files again.
        let start = std::time::Instant::now();
        while !wire.parameters["DateStyle"].starts_with("German") {
            assert!(
                start.elapsed() < bulkhead_tests::PATIENCE,
                "it was never reported"
            );
            wire.query("SELECT 1").await;
        }
    }
}

#[tokio::test]
async fn a_function_call_is_answered() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    // int4pl(integer, integer) has had this object id since long ago.
    let answer = wire
        .exchange(&[send::function_call(177, &["40", "2"])])
        .await;
    assert_eq!(answer.tags(), "VZ", "{answer:?}");
    assert!(answer.of(b'V').next().unwrap().body.ends_with(b"42"));

    let unknown = wire
        .exchange(&[send::function_call(4_000_000_000, &[])])
        .await;
    assert_eq!(unknown.tags(), "EZ");
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_function_call_inside_a_transaction_belongs_to_it() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    assert_eq!(
        wire.exchange(&[send::function_call(177, &["1", "2"])])
            .await
            .status(),
        'T'
    );
    assert_eq!(
        wire.exchange(&[send::function_call(4_000_000_000, &[])])
            .await
            .status(),
        'E'
    );
    assert_eq!(wire.query("ROLLBACK").await.status(), 'I');
}

#[tokio::test]
async fn an_idle_client_hears_nothing_of_its_servers_end() {
    // Given an idle client in Transaction mode whose last server connection is terminated,
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    let pid = wire.server_pid().await;
    stage.terminate_the_only_server(&admin, pid).await;
    // then it is told nothing, and served by another.
    assert!(!wire.says_something(Duration::from_millis(50)).await);
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_pinned_client_whose_server_is_terminated_is_told_so() {
    let stage = Stage::start(Policy::trusted().in_session_mode()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    let pid = wire.server_pid().await;
    admin.terminate(pid).await;
    let end = wire.until_closed().await;
    assert_eq!(end.refusal().code, "57P01", "{end:?}");
    assert_eq!(end.refusal().severity, "FATAL");
}
