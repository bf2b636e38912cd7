//! Limits, and whose turn it is when they are reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

#[tokio::test]
async fn a_user_holds_no_more_than_their_share() {
    let policy = Policy::trusted()
        .pool("perUser: {max: 2}")
        .timeouts("acquire: 9s");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(stage.user("alice").await);
    }
    let work = clients
        .iter()
        .map(|client| client.simple_query("SELECT pg_sleep(0.1)"));
    let most = Arc::new(AtomicU32::new(0));
    let watch = async {
        for _ in 0..20 {
            most.fetch_max(stage.server_sessions(&admin).await, Ordering::Relaxed);
        }
    };
    let (done, ()) = tokio::join!(
        wait::within("six sleeps", futures_util::future::join_all(work)),
        watch
    );
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert!(
        most.load(Ordering::Relaxed) <= 2,
        "{most:?} server connections at once"
    );
}

#[tokio::test]
async fn all_users_together_hold_no_more_than_the_limit() {
    let policy = Policy::trusted()
        .pool("maxConnections: 3, perUser: {max: 1}")
        .timeouts("acquire: 9s");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let mut clients = Vec::new();
    for number in 0..9 {
        clients.push(stage.user(&format!("user-{number}")).await);
    }
    let work = clients
        .iter()
        .map(|client| client.simple_query("SELECT pg_sleep(0.05)"));
    let most = AtomicU32::new(0);
    let watch = async {
        for _ in 0..30 {
            most.fetch_max(stage.server_sessions(&admin).await, Ordering::Relaxed);
        }
    };
    let (done, ()) = tokio::join!(
        wait::within("nine sleeps", futures_util::future::join_all(work)),
        watch
    );
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    // A session that is closing may still be seen while its successor is opened.
    assert!(
        most.load(Ordering::Relaxed) <= 4,
        "{most:?} server connections at once"
    );
}

#[tokio::test]
async fn one_users_storm_delays_that_user_alone() {
    // Given a user with forty requests in the queue,
    let policy = Policy::trusted()
        .pool("maxConnections: 2, perUser: {max: 2}")
        .timeouts("acquire: 30s, statement: 30s");
    let stage = Stage::start(policy).await;
    let served = Arc::new(AtomicU32::new(0));
    let mut storm = Vec::new();
    for _ in 0..40 {
        let client = stage.user("storm").await;
        let served = Arc::clone(&served);
        storm.push(tokio::spawn(async move {
            client.simple_query("SELECT pg_sleep(0.08)").await.unwrap();
            served.fetch_add(1, Ordering::Relaxed);
        }));
    }
    wait::until("the storm to begin", || async {
        served.load(Ordering::Relaxed) >= 2
    })
    .await;

    // when another asks, then they are served next, not after the forty.
    let calm = stage.user("calm").await;
    let before = served.load(Ordering::Relaxed);
    calm.run("SELECT 1").await;
    let passed = served.load(Ordering::Relaxed) - before;
    assert!(passed <= 8, "{passed} of the storm were served first");
    for work in storm {
        wait::within("the storm's end", work).await.unwrap();
    }
}

#[tokio::test]
async fn a_newcomer_takes_the_connection_that_has_been_idle_longest_of_the_user_who_holds_most() {
    let policy = Policy::trusted()
        .pool("maxConnections: 3, perUser: {max: 2}")
        .timeouts("acquire: 5s");
    let stage = Stage::start(policy).await;
    // Given a user with two idle connections and one with one,
    let (first, second) = (stage.user("rich").await, stage.user("rich").await);
    first.run("BEGIN").await;
    second.run("BEGIN").await;
    let (oldest, newest) = (first.server_pid().await, second.server_pid().await);
    assert_ne!(oldest, newest);
    let poor = stage.user("poor").await;
    let his = poor.server_pid().await;
    first.run("COMMIT").await;
    second.run("COMMIT").await;

    // when a third user comes, then the rich one gives, and what was idle longest.
    let newcomer = stage.user("newcomer").await;
    newcomer.run("SELECT 1").await;
    assert_eq!(poor.server_pid().await, his);
    assert_eq!(first.server_pid().await, newest);
    stage
        .until_metric("bulkhead_evictions_total", &[], 1.0)
        .await;
}

#[tokio::test]
async fn a_connection_in_a_transaction_is_never_taken_away() {
    let policy = Policy::trusted()
        .pool("maxConnections: 1, perUser: {max: 1}")
        .timeouts("acquire: 2s");
    let stage = Stage::start(policy).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    alice
        .run("BEGIN; INSERT INTO notes (owner, body) VALUES ('alice', 'hers')")
        .await;
    assert_eq!(bob.refused("SELECT 1").await.code, "53300");
    alice.run("COMMIT").await;
    assert_eq!(
        alice.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn more_users_than_allowed_are_refused_by_name_of_the_limit_and_let_in_when_others_have_gone()
{
    let policy = Policy::trusted().spec("limits: {maxUsers: 2}");
    let stage = Stage::start(policy).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    alice.run("SELECT 1").await;
    bob.run("SELECT 1").await;
    let refusal = match stage.try_options("-c bulkhead.user=carol").await {
        Ok(session) => session.refused("SELECT 1").await,
        Err(error) => Refusal::from(error),
    };
    assert_eq!(refusal.code, "53300", "{refusal:?}");
    assert!(refusal.says("limits.maxUsers"), "{refusal:?}");
    // A second client of a user who is there already is no further user.
    assert_eq!(
        stage.user("alice").await.text("SELECT 1").await.as_deref(),
        Some("1")
    );

    bob.close().await;
    wait::until("carol to be let in", || async {
        match stage.try_options("-c bulkhead.user=carol").await {
            Ok(session) => session.simple_query("SELECT 1").await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_factory_is_freed() {
    let stage = Stage::start(Policy::trusted().timeouts("idle: 200ms")).await;
    for number in 0..20 {
        let session = stage.user(&format!("user-{number}")).await;
        session.run("SELECT 1").await;
        session.close().await;
    }
    assert!(
        stage
            .sidecar
            .metric("bulkhead_factories_created_total", &[])
            >= 20.0
    );
    stage.until_metric("bulkhead_factories", &[], 0.0).await;
}

#[tokio::test]
async fn warm_spares_are_ready_and_given_to_newcomers_unused() {
    // Given two spares before anybody has come,
    let stage = Stage::start(Policy::trusted().pool("warm: 2, warmRate: 100")).await;
    let admin = stage.admin().await;
    wait::until("the spares", || async {
        stage.server_sessions(&admin).await == 2
    })
    .await;
    let spares = admin
        .rows("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename <> 'postgres'")
        .await;

    // when a user comes, they get one, which nobody has had before them,
    let alice = stage.user("alice").await;
    let hers = alice.server_pid().await.to_string();
    assert!(
        spares.iter().any(|row| row[0].as_ref() == Some(&hers)),
        "{hers} is none of {spares:?}"
    );
    assert_eq!(
        alice
            .text("SELECT current_setting('app.user_id')")
            .await
            .as_deref(),
        Some("alice")
    );

    // and another takes its place.
    wait::until("another spare", || async {
        stage.server_sessions(&admin).await == 3
    })
    .await;
    assert!(stage.cross_user_handoffs().abs() < 0.5);
}

#[tokio::test]
async fn spares_yield_to_users_when_the_limit_is_reached() {
    let policy = Policy::trusted()
        .pool("warm: 2, warmRate: 100, maxConnections: 2, perUser: {max: 1}")
        .timeouts("acquire: 3s");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    wait::until("the spares", || async {
        stage.server_sessions(&admin).await == 2
    })
    .await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    alice.run("BEGIN; SELECT 1").await;
    bob.run("BEGIN; SELECT 1").await;
    alice.run("COMMIT").await;
    bob.run("COMMIT").await;
}

#[tokio::test]
async fn clients_of_one_user_share_a_server_connection_between_transactions() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let (one, two) = (stage.user("alice").await, stage.user("alice").await);
    assert_eq!(one.server_pid().await, two.server_pid().await);
}

#[tokio::test]
async fn users_who_differ_in_one_letter_or_in_case_are_different_users() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut pids = std::collections::BTreeSet::new();
    for user in ["alice", "Alice", "alice\u{301}", "alic\u{e9}", "alicia"] {
        let session = stage.user(user).await;
        assert_eq!(
            session
                .text("SELECT current_setting('app.user_id')")
                .await
                .as_deref(),
            Some(user)
        );
        assert!(
            pids.insert(session.server_pid().await),
            "{user} shares a server connection"
        );
    }
}

#[tokio::test]
async fn users_behind_a_storm_are_served_whoever_has_come_and_gone_before_them() {
    // Given a storm that would have every connection, without an end,
    let policy = Policy::trusted()
        .pool("maxConnections: 3, perUser: {max: 3}")
        .timeouts("acquire: 4s, statement: 30s");
    let stage = Stage::start(policy).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut storm = Vec::new();
    for _ in 0..30 {
        let client = stage.user("storm").await;
        let over = Arc::clone(&over);
        storm.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                client.run("SELECT pg_sleep(0.02)").await;
            }
        }));
    }

    // when more users than there are connections come, work a little at a time, and leave a connection behind,
    let calm = (0..5).map(|number| {
        let stage = &stage;
        async move {
            let client = stage.user(&format!("calm-{number}")).await;
            for _ in 0..20 {
                client.run("SELECT 1").await;
            }
            client.close().await;
        }
    });
    let calm = futures_util::future::join_all(calm);
    wait::within("everybody's work", calm).await;

    // then nobody has waited for as long as `acquire`, neither they nor the storm.
    over.store(true, Ordering::Relaxed);
    for work in storm {
        wait::within("the storm's end", work).await.unwrap();
    }
}
