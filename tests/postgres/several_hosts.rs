//! Several servers behind one entry: which of them is used, by `upstream.targetSessionAttrs`.

use std::time::{Duration, Instant};

use bulkhead_tests::listeners::Silent;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

const STANDBY: &str = "SELECT pg_is_in_recovery()";

/// A policy for servers on these ports of 127.0.0.1, of which these will do.
pub(crate) fn for_hosts(ports: &[u16], attrs: &str) -> Policy {
    let hosts: Vec<String> = ports
        .iter()
        .map(|port| format!("{{host: 127.0.0.1, port: {port}}}"))
        .collect();
    let hosts = hosts.join(", ");
    Policy::trusted()
        .database(&format!(
            "upstream: {{host: null, hosts: [{hosts}], targetSessionAttrs: {attrs}}}"
        ))
        .database("breaker: {failures: 1000, open: 100ms}")
}

/// Waits until a standby has everything that its primary has now, what that has not written yet (commits are asynchronous in these
/// tests) included.
pub(crate) async fn until_streamed(primary: &Server, standby: &Server) {
    let lsn = primary.admin("postgres").await;
    let lsn = lsn
        .text("SELECT pg_current_wal_insert_lsn()")
        .await
        .unwrap();
    let admin = standby.admin("postgres").await;
    let there = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'");
    wait::until("the standby to catch up", || async {
        admin.text(&there).await.as_deref() == Some("t")
    })
    .await;
}

#[tokio::test]
async fn the_server_that_will_do_is_found_wherever_it_stands_in_the_list() {
    // Given a primary and its standby, in either order,
    let primary = Server::own();
    let standby = primary.standby();
    let (first, second) = (primary.place().port, standby.place().port);
    for ports in [[first, second], [second, first]] {
        for (attrs, stands_by) in [
            ("ReadWrite", Some("f")),
            ("Primary", Some("f")),
            ("Standby", Some("t")),
            ("ReadOnly", Some("t")),
            ("PreferStandby", Some("t")),
            ("Any", None),
        ] {
            // when a user's work asks for a server,
            let stage = Stage::on(&primary, for_hosts(&ports, attrs))
                .unready()
                .start()
                .await;
            until_streamed(&primary, &standby).await;
            let found = stage.user("alice").await.text(STANDBY).await;
            // then it is one that the policy asks for; where any will do, the first.
            let of_first = if ports[0] == first { "f" } else { "t" };
            let expected = stands_by.unwrap_or(of_first);
            assert_eq!(found.as_deref(), Some(expected), "{attrs} of {ports:?}");
        }
    }
}

#[tokio::test]
async fn a_standby_that_is_preferred_is_done_without_where_there_is_none() {
    let primary = Server::own();
    let mut standby = primary.standby();
    let ports = [standby.place().port, primary.place().port];
    let stage = Stage::on(&primary, for_hosts(&ports, "PreferStandby"))
        .unready()
        .start()
        .await;
    until_streamed(&primary, &standby).await;
    let alice = stage.user("alice").await;
    assert_eq!(alice.text(STANDBY).await.as_deref(), Some("t"));
    standby.kill();
    // Her connection is gone with it, and the next is made to who is left.
    assert_eq!(alice.text(STANDBY).await.as_deref(), Some("f"));
    // Once it is back, new connections go there again.
    standby.start();
    assert_eq!(
        stage.user("bob").await.text(STANDBY).await.as_deref(),
        Some("t")
    );
}

#[tokio::test]
async fn a_host_that_does_not_answer_leaves_the_others_their_time_and_is_not_tried_first_again() {
    let silent = Silent::listen().await;
    let server = Server::shared();
    let policy = for_hosts(&[silent.port(), server.place().port], "Any").timeouts("connect: 4s");
    let stage = Stage::on(server, policy).unready().start().await;
    let alice = stage.user("alice").await;
    assert_eq!(alice.text("SELECT 1").await.as_deref(), Some("1"));
    // The second user's connection begins at the host that did last.
    let began = Instant::now();
    let bob = stage.user("bob").await;
    assert_eq!(bob.text("SELECT 1").await.as_deref(), Some("1"));
    wait::no_longer_than(Duration::from_millis(1500), began);
}

#[tokio::test]
async fn where_no_server_will_do_each_is_told_with_its_reason() {
    let primary = Server::own();
    let standby = primary.standby();
    let ports = [standby.place().port, free_port()];
    let policy = for_hosts(&ports, "ReadWrite").timeouts("connect: 500ms");
    let stage = Stage::on(&primary, policy).unready().start().await;
    until_streamed(&primary, &standby).await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    for part in [
        format!("127.0.0.1:{}: its sessions may not write", ports[0]),
        format!("127.0.0.1:{}: Connection refused", ports[1]),
        "databases[main].upstream.targetSessionAttrs = ReadWrite".to_owned(),
        "databases[main].upstream.hosts".to_owned(),
    ] {
        assert!(refusal.message.contains(&part), "{part}: {refusal:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_at_every_host() {
    let (one, two) = (Server::own(), Server::own());
    let ports = [one.place().port, two.place().port];
    let stage = Stage::on(&one, for_hosts(&ports, "Any"))
        .secret("db/password", "wrong")
        .unready()
        .start()
        .await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "28P01", "{refusal:?}");
}

#[tokio::test]
async fn an_upstream_over_ipv6_is_an_upstream_like_others() {
    let server = Server::own_at("::1", free_port());
    for host in ["'::1'", "localhost"] {
        let policy = Policy::trusted().database(&format!("upstream: {{host: {host}}}"));
        let stage = Stage::on(&server, policy).start().await;
        let alice = stage.user("alice").await;
        let at = alice.text("SELECT host(inet_server_addr())").await;
        assert_eq!(at.as_deref(), Some("::1"), "{host}");
        // A cancel finds the way as well.
        let admin = stage.admin().await;
        let token = alice.cancel_token();
        let (refusal, ()) = tokio::join!(alice.refused("SELECT pg_sleep(60)"), async {
            stage.until_asleep(&admin).await;
            token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        });
        assert_eq!(refusal.code, "57014");
    }
}

#[tokio::test]
async fn each_host_is_held_to_its_own_name_by_tls_for_cancels_as_well() {
    // Given two names, of which the first leads to nobody, and the second is the one on the server's certificate,
    let policy = Policy::trusted().database(
        "upstream: {host: null, hosts: [{host: nobody.internal}, {host: db.internal}], \
         tls: {mode: VerifyFull, caSecretRef: {name: ca}}}",
    );
    let stage = Stage::with(policy)
        .flag("--resolve", "nobody.internal=127.0.0.9")
        .flag("--resolve", "db.internal=127.0.0.1")
        .start()
        .await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    // then a cancel goes to the second, under its own name.
    let token = alice.cancel_token();
    let (refusal, ()) = tokio::join!(alice.refused("SELECT pg_sleep(60)"), async {
        stage.until_asleep(&admin).await;
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    });
    assert_eq!(refusal.code, "57014");
    // A name that is not on the certificate ends the dial, whoever else is in the list.
    let policy = Policy::trusted().database(
        "upstream: {host: null, hosts: [{host: other.internal}, {host: db.internal}], \
         tls: {mode: VerifyFull, caSecretRef: {name: ca}}}",
    );
    let stage = Stage::with(policy)
        .flag("--resolve", "other.internal=127.0.0.1")
        .flag("--resolve", "db.internal=127.0.0.1")
        .unready()
        .start()
        .await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    assert!(
        refusal.says("databases[main].upstream.hosts"),
        "{refusal:?}"
    );
}
