//! What changes something: whom it concerns, whom it leaves alone, and what is left in the log.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

use super::{console, psql, row_of, table};

/// Waits until the server runs nothing that sleeps.
async fn until_nobody_sleeps(admin: &Session) {
    wait::until("the sleeper to be cancelled", || async {
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        admin.text(sleeping).await.as_deref() == Some("0")
    })
    .await;
}

#[tokio::test]
async fn killing_a_user_ends_all_that_is_theirs_and_nothing_of_anybody_else() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    // Given alice with a statement that runs, an idle connection and an open transaction, and bob in a transaction of his,
    let sleeper = stage.user("alice").await;
    let (mut idle, mut open) = (stage.wire_of("alice").await, stage.wire_of("alice").await);
    let hers = [idle.server_pid().await, open.server_pid().await];
    open.query("BEGIN").await;
    let bob = stage.user("bob").await;
    bob.run("BEGIN").await;
    let his = bob.server_pid().await;
    let asleep = tokio::spawn(async move { sleeper.refused("SELECT pg_sleep(60)").await });
    stage.until_asleep(&admin).await;

    // when an operator ends alice's,
    let said = psql(stage.sidecar.home(), &["-c", "KILL USER 'alice'"]).await;
    assert!(said.output.contains("KILL 3"), "{said:?}");

    // then she is told why, on each,
    let refusal = asleep.await.unwrap();
    assert_eq!(
        (&*refusal.code, &*refusal.severity),
        ("57P01", "FATAL"),
        "{refusal:?}"
    );
    for wire in [&mut idle, &mut open] {
        let refusal = wire.until_closed().await.refusal();
        assert_eq!(refusal.code, "57P01", "{refusal:?}");
        assert!(
            refusal.says("an administrator") && refusal.says("KILL USER"),
            "{refusal:?}"
        );
    }
    until_nobody_sleeps(&admin).await;
    // bob notices nothing,
    assert_eq!(bob.server_pid().await, his);
    bob.run("COMMIT").await;
    // and she may come again: to connections that are new.
    let again = stage.user("alice").await.server_pid().await;
    assert!(!hers.contains(&again), "{again} was hers before: {hers:?}");
    let gone = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid IN ({}, {})",
        hers[0], hers[1]
    );
    wait::until("her connections to be closed", || async {
        admin.text(&gone).await.as_deref() == Some("0")
    })
    .await;

    // It is told in the log, with who has asked.
    let told = stage
        .sidecar
        .log
        .until_told("an operator has acted", 1)
        .await;
    let line = &told[0];
    assert_eq!(
        (&line["target"], &line["action"], &line["outcome"]),
        (&"audit".into(), &"kill_user".into(), &"done".into()),
        "{line}"
    );
    assert_eq!(
        (&line["user"], &line["clients"]),
        (&"alice".into(), &3.into()),
        "{line}"
    );
    assert!(
        line["caller"].as_str().unwrap().starts_with("uid="),
        "{line}"
    );
    let labels = [("action", "kill_user"), ("outcome", "done")];
    stage
        .until_metric("bulkhead_admin_actions_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn a_client_that_waits_for_a_connection_is_killed_there() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let (first, second) = (stage.user("alice").await, stage.user("alice").await);
    first.run("BEGIN; SELECT 1").await;
    let waits = tokio::spawn(async move { second.refused("SELECT 1").await });
    let console = console(&stage).await;
    wait::until("alice to wait", || async {
        row_of(&console, "USERS", "alice").await.is("waiting", 1)
    })
    .await;
    console.run("KILL USER 'alice' ON main").await;
    assert_eq!(waits.await.unwrap().code, "57P01");
}

#[tokio::test]
async fn a_client_that_waits_to_be_let_in_is_killed_there_and_may_come_again() {
    let stage = Stage::start(Policy::trusted()).await;
    let console = console(&stage).await;
    // Given alice at her login, which waits for a server,
    console.run("PAUSE main").await;
    let login = stage.try_options("-c bulkhead.user=alice");
    let killed = async {
        wait::until("alice to wait at her login", || async {
            let users = table(&console, "USERS").await;
            users.iter().any(|row| row.first() == "alice")
        })
        .await;
        console.run("KILL USER 'alice'").await;
    };
    let (login, ()) = tokio::join!(login, killed);
    let refusal = Refusal::from(login.map(drop).unwrap_err());
    assert_eq!(refusal.code, "57P01", "{refusal:?}");
    assert!(refusal.says("KILL USER"), "{refusal:?}");
    console.run("RESUME main").await;
    stage.user("alice").await.run("SELECT 1").await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_told_in_the_log_too() {
    let stage = Stage::start(Policy::trusted()).await;
    let bob = stage.user("bob").await;
    bob.run("SELECT 1").await;
    let console = console(&stage).await;
    for (command, code, words) in [
        ("KILL USER 'bob' ON maim", "42704", "There is main"),
        ("KILL USER ''", "22023", "SHOW USERS"),
        ("PAUSE maim", "42704", "There is main"),
        ("RECONNECT maim", "42704", "There is main"),
        ("RESUME", "55000", "not paused"),
        ("KILL bob", "42601", "KILL USER 'ID'"),
    ] {
        let refusal = console.refused(command).await;
        assert_eq!(refusal.code, code, "{command}: {refusal:?}");
        assert!(refusal.says(words), "{command}: {refusal:?}");
    }
    console.run("KILL USER 'nobody-of-this-name'").await;
    bob.run("SELECT 1").await;
    let told = stage
        .sidecar
        .log
        .until_told("an operator has acted", 6)
        .await;
    let failed = told.iter().filter(|line| line["outcome"] == "failed");
    assert_eq!(failed.count(), 5, "{told:?}");
    assert!(
        told[0]["error"].as_str().unwrap().contains("maim"),
        "{told:?}"
    );
}

#[tokio::test]
async fn reconnect_makes_every_connection_anew_once_it_comes_home() {
    let stage = Stage::start(Policy::trusted()).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    let hers = alice.server_pid().await;
    bob.run("BEGIN").await;
    let his = bob.server_pid().await;
    let console = console(&stage).await;
    console.run("RECONNECT").await;
    // The idle one is closed at once; the other one is marked, and its transaction goes on.
    let servers = table(&console, "SERVERS").await;
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert_eq!(
        (
            servers[0].get("user_id"),
            servers[0].get("state"),
            servers[0].get("closing")
        ),
        ("bob", "active", "t")
    );
    assert_eq!(bob.server_pid().await, his);
    bob.run("COMMIT").await;
    assert_ne!(bob.server_pid().await, his);
    assert_ne!(alice.server_pid().await, hers);
    let servers = table(&console, "SERVERS").await;
    assert!(
        servers.iter().all(|row| row.get("closing") == "f"),
        "{servers:?}"
    );
    // And again: each time is a new one.
    let hers = alice.server_pid().await;
    console.run("RECONNECT main").await;
    assert_ne!(alice.server_pid().await, hers);
}

#[tokio::test]
async fn a_pause_lets_nothing_begin_and_answers_when_everything_is_at_rest() {
    let stage = Stage::start(Policy::trusted().timeouts("acquire: 60s")).await;
    let admin = stage.admin().await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    alice.run("SELECT 1").await;
    bob.run("BEGIN; SELECT 1").await;
    let (pausing, looking) = (console(&stage).await, console(&stage).await);
    let pause = tokio::spawn(async move { pausing.run("PAUSE").await });
    wait::until("the pause to begin", || async {
        row_of(&looking, "STATS", "main").await.get("paused") == "t"
    })
    .await;
    // What is under way goes on; what would begin waits.
    bob.run("SELECT 2").await;
    let waits = tokio::spawn(async move {
        alice.run("SELECT 3").await;
        alice
    });
    wait::until("alice to wait", || async {
        row_of(&looking, "CLIENTS", "alice").await.get("state") == "waiting"
    })
    .await;
    assert!(!pause.is_finished(), "bob's transaction is open");
    bob.run("COMMIT").await;
    wait::within("the pause", pause).await.unwrap();
    assert!(table(&looking, "SERVERS").await.is_empty());
    stage.until_no_server_session(&admin).await;
    assert_eq!(looking.refused("PAUSE main").await.code, "55000");
    assert!(!waits.is_finished());
    // Then it goes on as if nothing had been.
    looking.run("RESUME").await;
    let alice = wait::within("alice", waits).await.unwrap();
    alice.run("SELECT 4").await;
    bob.run("SELECT 5").await;
    assert_eq!(row_of(&looking, "STATS", "main").await.get("paused"), "f");
}

#[tokio::test]
async fn who_waits_longer_than_acquire_is_told_of_the_pause() {
    let stage = Stage::start(Policy::trusted().timeouts("acquire: 200ms")).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    let console = console(&stage).await;
    console.run("PAUSE").await;
    let refusal = alice.refused("SELECT 1").await;
    assert_eq!(refusal.code, "57P03", "{refusal:?}");
    for words in ["PAUSE", "databases[main].timeouts.acquire = 200ms"] {
        assert!(refusal.says(words), "{refusal:?}");
    }
    console.run("RESUME main").await;
    alice.run("SELECT 1").await;
}

#[tokio::test]
async fn a_client_that_keeps_its_connection_waits_too_and_finds_it_again() {
    let stage = Stage::start(Policy::trusted().in_session_mode().timeouts("acquire: 60s")).await;
    let alice = stage.user("alice").await;
    alice.run("CREATE TEMP TABLE mine (id int)").await;
    let pid = alice.server_pid().await;
    let console = console(&stage).await;
    console.run("PAUSE").await;
    let client = row_of(&console, "CLIENTS", "alice").await;
    assert_eq!(
        (client.get("state"), client.get("server_pid")),
        ("holding", &*pid.to_string())
    );
    let waits = tokio::spawn(async move {
        alice.run("INSERT INTO mine VALUES (1)").await;
        alice.server_pid().await
    });
    wait::until("alice to wait", || async {
        row_of(&console, "CLIENTS", "alice").await.get("state") == "waiting"
    })
    .await;
    console.run("RESUME").await;
    assert_eq!(wait::within("alice", waits).await.unwrap(), pid);
}

#[tokio::test]
async fn a_resume_ends_a_pause_that_is_not_at_rest_yet() {
    let stage = Stage::start(Policy::trusted()).await;
    let bob = stage.user("bob").await;
    bob.run("BEGIN; SELECT 1").await;
    let (pausing, console) = (console(&stage).await, console(&stage).await);
    let pause = tokio::spawn(async move { pausing.refused("PAUSE").await });
    wait::until("the pause to begin", || async {
        row_of(&console, "STATS", "main").await.get("paused") == "t"
    })
    .await;
    console.run("RESUME").await;
    let refusal = wait::within("the pause", pause).await.unwrap();
    assert!(refusal.says("RESUME"), "{refusal:?}");
    bob.run("COMMIT").await;
}
