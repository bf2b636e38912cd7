//! Servers that restart, are promoted, or take no writes any more: connections are made anew, and errors not repeated.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

use crate::several_hosts::{for_hosts, until_streamed};

const RETIRED: &str = "bulkhead_servers_retired_total";
const WRITE: &str = "INSERT INTO notes (owner, body) VALUES (current_setting('app.user_id'), 'x')";
const PORT: &str = "SELECT current_setting('port')";

fn retired(stage: &Stage, reason: &str) -> f64 {
    stage.sidecar.metric(RETIRED, &[("reason", reason)])
}

/// A sidecar before a server that lets nobody in yet.
async fn before(server: &Server, policy: Policy) -> Stage {
    let setting = Stage::on(server, policy).unready();
    setting.start_for("chat".to_owned()).await
}

/// Waits until somebody waits for a connection to be made.
async fn until_connecting(stage: &Stage) {
    let connecting = [("state", "connecting")];
    stage
        .until_metric_at_least("bulkhead_server_connections", &connecting, 1.0)
        .await;
}

#[tokio::test]
async fn a_standby_that_is_promoted_takes_the_work_over() {
    // Given users at work on a primary, whose standby is second in the list,
    let mut primary = Server::own();
    let standby = primary.standby();
    let ports = [primary.place().port, standby.place().port];
    let stage = Stage::on(&primary, for_hosts(&ports, "ReadWrite"))
        .start()
        .await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    alice.run(WRITE).await;
    bob.run(WRITE).await;
    until_streamed(&primary, &standby).await;

    // when the primary dies and the standby is promoted while they go on,
    primary.kill();
    let promote = async {
        until_connecting(&stage).await;
        standby.promote();
    };
    let (hers, his, ()) = tokio::join!(alice.simple_query(WRITE), bob.simple_query(WRITE), promote);

    // then they have waited, and nothing has failed.
    hers.unwrap();
    his.unwrap();
    let port = alice.text(PORT).await;
    assert_eq!(port, Some(ports[1].to_string()));
    let admin = standby.admin(&stage.database).await;
    let notes = admin.text("SELECT count(*) FROM notes").await;
    assert_eq!(notes.as_deref(), Some("4"));
}

#[tokio::test]
async fn a_server_that_takes_no_writes_any_more_is_left_by_everybody_after_one_error() {
    // Given two servers that can be written to, and two users at the first,
    let (one, two) = (Server::own(), Server::own());
    let ports = [one.place().port, two.place().port];
    let stage = Stage::on(&one, for_hosts(&ports, "ReadWrite"))
        .start()
        .await;
    two.database_called(&stage.database).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    alice.run(WRITE).await;
    bob.run(WRITE).await;
    // when the first is made read-only,
    let admin = one.admin("postgres").await;
    admin
        .run("ALTER SYSTEM SET default_transaction_read_only = on")
        .await;
    admin.run("SELECT pg_reload_conf()").await;
    wait::until("a write to be refused", || async {
        match alice.simple_query(WRITE).await {
            Ok(_) => false,
            Err(error) => Refusal::from(error).code == "25006",
        }
    })
    .await;
    stage
        .until_metric_at_least(RETIRED, &[("reason", "read_only")], 1.0)
        .await;
    // then one error is all that anybody has seen of it.
    alice.run(WRITE).await;
    bob.run(WRITE).await;
    for user in [&alice, &bob] {
        assert_eq!(user.text(PORT).await, Some(ports[1].to_string()));
    }
}

#[tokio::test]
async fn a_clients_own_read_only_transaction_is_no_fail_over() {
    let (one, two) = (Server::own(), Server::own());
    let ports = [one.place().port, two.place().port];
    let stage = Stage::on(&one, for_hosts(&ports, "ReadWrite"))
        .start()
        .await;
    let alice = stage.user("alice").await;
    let pid = alice.server_pid().await;
    for read_only in [
        "BEGIN READ ONLY",
        "BEGIN; SET TRANSACTION READ ONLY",
        "SET default_transaction_read_only = on",
    ] {
        alice.run(read_only).await;
        if read_only.starts_with("SET") {
            alice.run("BEGIN").await;
        }
        let refusal = alice.refused(WRITE).await;
        assert_eq!(refusal.code, "25006");
        alice.run("ROLLBACK").await;
        alice.run("RESET default_transaction_read_only").await;
    }
    assert_eq!(alice.text(PORT).await, Some(ports[0].to_string()));
    // Her first connection is still there, whichever of hers she has now.
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    let admin = stage.admin().await;
    assert_eq!(admin.text(&there).await.as_deref(), Some("1"));
    assert_eq!(retired(&stage, "read_only"), 0.0);
}

#[tokio::test]
async fn a_standby_that_is_promoted_is_left_by_those_who_want_a_standby() {
    let primary = Server::own();
    let (one, two) = (primary.standby(), primary.standby());
    let ports = [one.place().port, two.place().port];
    let stage = Stage::on(&primary, for_hosts(&ports, "Standby"))
        .unready()
        .start()
        .await;
    for standby in [&one, &two] {
        until_streamed(&primary, standby).await;
    }
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    for user in [&alice, &bob] {
        assert_eq!(user.text(PORT).await, Some(ports[0].to_string()));
    }
    one.promote();
    // Her next answer tells the sidecar, which then knows for him as well.
    wait::until("her to be at the other", || async {
        alice.text(PORT).await == Some(ports[1].to_string())
    })
    .await;
    assert_eq!(bob.text(PORT).await, Some(ports[1].to_string()));
    assert!(retired(&stage, "failover") >= 1.0);
}

#[tokio::test]
async fn who_asks_for_a_server_that_is_starting_waits_for_it() {
    let server = Server::starting();
    let stage = before(&server, Policy::trusted()).await;
    let promote = async {
        until_connecting(&stage).await;
        server.promote();
    };
    let (alice, ()) = tokio::join!(stage.user("alice"), promote);
    assert_eq!(alice.text("SELECT 1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_server_that_goes_on_starting_is_told_by_its_own_word_when_the_time_is_over() {
    let server = Server::starting();
    let policy = Policy::trusted().timeouts("connect: 500ms");
    let stage = before(&server, policy).await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "57P03", "{refusal:?}");
}

#[tokio::test]
async fn after_a_restart_nobody_meets_the_connections_of_before() {
    let mut server = Server::own();
    let policy = Policy::trusted().database("breaker: {failures: 1000, open: 100ms}");
    let stage = Stage::on(&server, policy).start().await;
    let mut users = Vec::new();
    for number in 0..20 {
        let user = stage.user(&format!("user{number}")).await;
        user.run("SELECT 1").await;
        users.push(user);
    }
    server.kill();
    server.start();
    for user in &users {
        assert_eq!(user.text("SELECT 1").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn who_asks_in_the_middle_of_a_restart_waits_for_its_end() {
    // Given a user whose statement ends because the server is shut down,
    let mut server = Server::own();
    let stage = Stage::on(&server, Policy::trusted()).start().await;
    let admin = stage.admin().await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    bob.run("SELECT 1").await;
    let stop = async {
        stage.until_asleep(&admin).await;
        server.stop();
    };
    let (refusal, ()) = tokio::join!(alice.refused("SELECT pg_sleep(60)"), stop);
    assert_eq!(refusal.code, "57P01", "{refusal:?}");
    // when they ask again while nobody answers there, and others do,
    let start = async {
        until_connecting(&stage).await;
        server.start();
    };
    let (hers, his, ()) = tokio::join!(
        alice.simple_query("SELECT 1"),
        bob.simple_query("SELECT 1"),
        start
    );
    // then one error is all that the restart has cost.
    hers.unwrap();
    his.unwrap();
}

#[tokio::test]
async fn one_connection_that_an_administrator_ends_is_no_fail_over() {
    let server = Server::own();
    let stage = Stage::on(&server, Policy::trusted()).start().await;
    let admin = stage.admin().await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    let (hers, his) = (alice.server_pid().await, bob.server_pid().await);
    let sleep = alice.refused("SELECT pg_sleep(30)");
    let end = async {
        stage.until_asleep(&admin).await;
        admin.terminate(hers).await;
    };
    let (refusal, ()) = tokio::join!(sleep, end);
    assert_eq!(refusal.code, "57P01");
    assert_eq!(bob.server_pid().await, his);
    assert_eq!(retired(&stage, "failover"), 0.0);
}
