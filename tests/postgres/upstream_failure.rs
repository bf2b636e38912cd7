//! The server dies, hangs up, or is cut off; and comes back.

use bulkhead_tests::listeners::Link;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;

/// Waits until `user` is served again, with whatever new client it takes.
async fn until_served(stage: &Stage, user: &str) {
    wait::until(&format!("{user} to be served again"), || async {
        match stage.try_options(&format!("-c bulkhead.user={user}")).await {
            Ok(session) => session.simple_query("SELECT 1").await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}

/// A policy whose breaker does not keep a test waiting.
fn impatient() -> Policy {
    Policy::trusted()
        .timeouts("connect: 2s")
        .database("breaker: {failures: 1000, open: 100ms}")
}

#[tokio::test]
async fn a_server_killed_in_mid_query_ends_that_query_and_a_restart_mends_everything() {
    // Given alice in the middle of a query, bob idle, and carol inside a transaction,
    let mut server = Server::own();
    let stage = Stage::on(&server, impatient()).start().await;
    let admin = stage.admin().await;
    let mut alice = stage.wire_of("alice").await;
    let mut bob = stage.wire_of("bob").await;
    let mut carol = stage.wire_of("carol").await;
    bob.query("SELECT 1").await;
    carol.query("BEGIN").await;
    carol.query("SELECT 1").await;
    alice.send(send::query("SELECT pg_sleep(60)")).await;
    stage.until_asleep(&admin).await;

    // when the server is killed,
    server.kill();

    // then alice's query ends with an error that says what happened,
    let error = alice.until(b'E').await.refusal();
    assert!(
        ["57P01", "57P02", "08006", "08003"].contains(&error.code.as_str()),
        "{error:?}"
    );

    // and after a restart everybody is served by the same sidecar. Bob has lost nothing, not even his connection.
    server.start();
    until_served(&stage, "alice").await;
    let answer = bob.query("SELECT 2").await;
    assert_eq!(answer.value().as_deref(), Some("2"), "{answer:?}");
    until_served(&stage, "carol").await;
}

#[tokio::test]
async fn a_client_in_a_lost_transaction_is_never_told_that_it_goes_on() {
    let stage = Stage::start(impatient()).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
        .await;
    let pid = wire.server_pid().await;
    stage.terminate_the_only_server(&admin, pid).await;

    // Whether the connection ends or stays in a failed transaction: nothing may be done in it.
    let _ = wire
        .try_send(send::query(
            "INSERT INTO notes (owner, body) VALUES ('alice', 'too')",
        ))
        .await;
    let mut refused = false;
    while let Some(message) = wire.receive().await {
        match message.tag {
            b'E' => refused = true,
            b'Z' => {
                assert_eq!(message.body, b"E");
                let end = wire.query("COMMIT").await;
                assert_eq!(end.commands(), ["ROLLBACK"], "{end:?}");
                break;
            }
            _ => {}
        }
    }
    assert!(refused);
    assert_eq!(
        admin.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("0")
    );
}

#[tokio::test]
async fn a_pooled_connection_that_was_terminated_is_not_handed_out() {
    let stage = Stage::start(impatient()).await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    for _ in 0..5 {
        let pid = alice.server_pid().await;
        stage.terminate_the_only_server(&admin, pid).await;
        assert_eq!(alice.text("SELECT 1").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn a_link_that_is_cut_while_idle_is_noticed_before_it_is_used() {
    let link = Link::to(Server::shared().place().port).await;
    let stage = Stage::with(impatient()).upstream(link.port()).start().await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    link.cut();
    stage.until_no_server_session(&admin).await;
    assert_eq!(alice.text("SELECT 1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn one_users_lost_connection_is_no_other_users_trouble() {
    let stage = Stage::start(impatient()).await;
    let admin = stage.admin().await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    bob.run("BEGIN; INSERT INTO notes (owner, body) VALUES ('bob', 'his')")
        .await;
    let hers = alice.server_pid().await;
    let sleep = alice.simple_query("SELECT pg_sleep(30)");
    let kill = async {
        stage.until_asleep(&admin).await;
        admin.terminate(hers).await;
    };
    let (ended, ()) = tokio::join!(wait::within("alice's end", sleep), kill);
    let refusal = Refusal::from(ended.unwrap_err());
    assert_eq!(refusal.code, "57P01", "{refusal:?}");
    bob.run("COMMIT").await;
    assert_eq!(
        bob.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn errors_of_the_server_pass_with_everything_they_say() {
    let stage = Stage::start(Policy::trusted()).await;
    let refusal = stage.user("alice").await.refused("SELECT refuse()").await;
    assert_eq!(
        (
            refusal.code.as_str(),
            refusal.message.as_str(),
            refusal.detail.as_str(),
            refusal.hint.as_str()
        ),
        ("BH042", "no", "because", "ask again")
    );
}

#[tokio::test]
async fn a_reader_can_tell_the_sidecars_errors_from_the_servers() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 200ms")).await;
    let alice = stage.user("alice").await;
    let ours = alice.refused("SELECT pg_sleep(9)").await;
    assert!(ours.message.to_lowercase().contains("bulkhead"), "{ours:?}");
    let theirs = alice.refused("SELECT nothing_at_all").await;
    assert!(
        !theirs.message.to_lowercase().contains("bulkhead"),
        "{theirs:?}"
    );
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_the_servers_word() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut config = stage.config();
    config
        .dbname("no_such_database")
        .options("-c bulkhead.user=alice");
    let refusal = match bulkhead_tests::session::connect(&config).await {
        Ok(session) => session.refused("SELECT 1").await,
        Err(error) => error.into(),
    };
    assert_eq!(refusal.code, "3D000", "{refusal:?}");
    // And it is nobody else's trouble.
    assert_eq!(
        stage.user("alice").await.text("SELECT 1").await.as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn a_server_at_its_own_limit_is_told_by_its_own_word() {
    let server = Server::own();
    let admin = server.admin("postgres").await;
    let stage = Stage::on(&server, impatient()).unready().start().await;
    admin
        .run(&format!(
            "ALTER DATABASE {} CONNECTION LIMIT 1",
            stage.database
        ))
        .await;
    let alice = stage.user("alice").await;
    alice.run("BEGIN; SELECT 1").await;
    let refusal = match stage.try_options("-c bulkhead.user=bob").await {
        Ok(session) => session.refused("SELECT 1").await,
        Err(error) => error.into(),
    };
    assert_eq!(refusal.code, "53300", "{refusal:?}");
    alice.run("COMMIT").await;
}

#[tokio::test]
async fn no_query_is_ever_run_twice() {
    // Given a server that goes away in the middle of writes,
    let stage = Stage::start(impatient()).await;
    let admin = stage.admin().await;
    admin
        .run("CREATE TABLE marks (n int); GRANT ALL ON marks TO chat_app")
        .await;
    let mut told = 0;
    for number in 0..10 {
        let Ok(session) = stage.try_options("-c bulkhead.user=alice").await else {
            continue;
        };
        session.run("SELECT 1").await;
        let write = format!("INSERT INTO marks SELECT {number} FROM pg_sleep(0.02)");
        let kill = admin.simple_query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND usename <> 'postgres'",
        );
        let (written, killed) = tokio::join!(session.simple_query(&write), kill);
        killed.unwrap();
        told += i32::from(written.is_ok());
    }
    // then each write was done once at the most, and every one that was acknowledged was done.
    let rows = admin.rows("SELECT n, count(*) FROM marks GROUP BY n").await;
    assert!(
        rows.iter().all(|row| row[1].as_deref() == Some("1")),
        "{rows:?}"
    );
    assert!(
        i32::try_from(rows.len()).unwrap() >= told,
        "{told} were acknowledged: {rows:?}"
    );
}
