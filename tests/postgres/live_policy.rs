//! The policy changes while the sidecar runs.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

/// The revision in force, as the admin port tells it.
fn revision(stage: &Stage) -> serde_json::Value {
    let (status, body) = stage.sidecar.get("/revision").unwrap();
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

/// Puts `policy` in force and waits until it is.
async fn change(stage: &Stage, change: impl FnOnce(Policy) -> Policy) {
    let before = revision(stage)["number"].clone();
    stage
        .sidecar
        .write_policy(&change(stage.sidecar.policy().clone()).text());
    wait::until("the new policy", || async {
        revision(stage)["number"] != before
    })
    .await;
}

#[tokio::test]
async fn a_new_timeout_holds_for_the_next_statement_of_a_connected_client() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 20s")).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT pg_sleep(0.3)").await;
    change(&stage, |policy| policy.timeouts("statement: 200ms")).await;
    wait::until("the new timeout to hold", || async {
        match alice.simple_query("SELECT pg_sleep(0.6)").await {
            Ok(_) => false,
            Err(error) => {
                let refusal = bulkhead_tests::refusal::Refusal::from(error);
                assert_eq!(refusal.code, "57014");
                assert!(refusal.says("200ms"), "{refusal:?}");
                true
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_timeout_may_be_made_longer_too() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 100ms")).await;
    let alice = stage.user("alice").await;
    assert_eq!(alice.refused("SELECT pg_sleep(0.4)").await.code, "57014");
    change(&stage, |policy| policy.timeouts("statement: 20s")).await;
    wait::until("the new timeout to hold", || async {
        alice.simple_query("SELECT pg_sleep(0.4)").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_new_limit_holds_for_new_work() {
    let stage = Stage::start(
        Policy::trusted()
            .pool("perUser: {max: 1}")
            .timeouts("acquire: 300ms"),
    )
    .await;
    let (one, two) = (stage.user("alice").await, stage.user("alice").await);
    one.run("BEGIN; SELECT 1").await;
    assert_eq!(two.refused("SELECT 1").await.code, "53300");
    change(&stage, |policy| policy.pool("perUser: {max: 2}")).await;
    wait::until("the new limit to hold", || async {
        two.simple_query("SELECT 1").await.is_ok()
    })
    .await;
    one.run("COMMIT").await;
}

#[tokio::test]
async fn a_lowered_limit_of_a_user_holds_for_connections_that_are_open() {
    let stage = Stage::start(
        Policy::trusted()
            .pool("perUser: {max: 3}")
            .timeouts("acquire: 300ms"),
    )
    .await;
    let admin = stage.admin().await;
    // Given three connections, of which two are idle and one works,
    let clients = [
        stage.user("alice").await,
        stage.user("alice").await,
        stage.user("alice").await,
    ];
    for client in &clients {
        client.run("BEGIN").await;
    }
    clients[0].run("COMMIT").await;
    clients[1].run("COMMIT").await;
    // when one is the limit, the idle ones go,
    change(&stage, |policy| policy.pool("perUser: {max: 1}")).await;
    wait::until("the idle ones to be closed", || async {
        stage.server_sessions(&admin).await == 1
    })
    .await;
    // work under way finishes, and nothing begins beside it.
    assert_eq!(clients[0].refused("BEGIN").await.code, "53300");
    clients[2].run("COMMIT").await;
    clients[0].run("BEGIN").await;
    assert_eq!(clients[1].refused("BEGIN").await.code, "53300");
    clients[0].run("COMMIT").await;
}

#[tokio::test]
async fn a_lowered_limit_of_the_upstream_holds_for_connections_that_are_open() {
    let stage = Stage::start(
        Policy::trusted()
            .pool("maxConnections: 5")
            .timeouts("acquire: 9s"),
    )
    .await;
    let admin = stage.admin().await;
    let mut clients = Vec::new();
    for user in ["alice", "alice", "bob", "carol", "dave"] {
        clients.push(stage.user(user).await);
    }
    for client in &clients {
        client.run("BEGIN").await;
    }
    clients[2].run("COMMIT").await;
    // What is idle goes at once, and the rest as it is given back.
    change(&stage, |policy| policy.pool("maxConnections: 2")).await;
    wait::until("the idle one to be closed", || async {
        stage.server_sessions(&admin).await == 4
    })
    .await;
    for client in [&clients[0], &clients[1]] {
        client.run("COMMIT").await;
    }
    wait::until("the limit to hold", || async {
        stage.server_sessions(&admin).await == 2
    })
    .await;
    // And everybody is still served.
    for client in &clients[3..] {
        client.run("COMMIT").await;
    }
    for client in &clients {
        client.run("SELECT 1").await;
    }
    assert!(stage.server_sessions(&admin).await <= 2);
}

#[tokio::test]
async fn work_under_way_goes_on_through_a_change() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    alice
        .run("BEGIN; INSERT INTO notes (owner, body) VALUES ('alice', 'x')")
        .await;
    let pid = alice.server_pid().await;
    change(&stage, |policy| {
        policy.timeouts("statement: 5s, transaction: 6s")
    })
    .await;
    assert_eq!(alice.server_pid().await, pid);
    alice.run("COMMIT").await;
    assert_eq!(
        alice.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn a_file_that_does_not_validate_leaves_the_last_good_one_in_force_and_says_so() {
    let policy = Policy::trusted()
        .timeouts("statement: 300ms")
        .database("breaker: {failures: 1000}");
    let stage = Stage::start(policy).await;
    let alice = stage.user("alice").await;
    let good = stage.sidecar.policy().clone();
    let number = revision(&stage)["number"].clone();
    let mut rejections = 0.0;
    for (broken, complaint) in [
        ("not: [a policy".to_owned(), ""),
        (String::new(), ""),
        (good.clone().spec("tiemouts: {}").text(), "tiemouts"),
        (good.clone().timeouts("statement: soon").text(), "statement"),
        (good.clone().timeouts("acquire: 0s").text(), "acquire"),
    ] {
        stage.sidecar.write_policy(&broken);
        let before = rejections;
        wait::until("the rejection to be counted", || async {
            stage
                .sidecar
                .metric("bulkhead_policy_rejections_total", &[])
                > before
        })
        .await;
        rejections = stage
            .sidecar
            .metric("bulkhead_policy_rejections_total", &[]);
        // It says so, and names what is wrong,
        let standing = revision(&stage);
        assert_eq!(standing["number"], number, "{standing}");
        assert!(
            standing["rejection"].to_string().contains(complaint),
            "{standing}"
        );
        // and the last good one is still in force.
        assert_eq!(alice.refused("SELECT pg_sleep(9)").await.code, "57014");
    }
    // A good one is taken over again.
    change(&stage, |policy| policy.timeouts("statement: 20s")).await;
    assert!(revision(&stage)["rejection"].is_null());
    wait::until("the good policy to hold", || async {
        alice.simple_query("SELECT pg_sleep(0.5)").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn another_identity_source_holds_for_the_next_login() {
    let stage = Stage::start(Policy::trusted()).await;
    assert!(stage.try_options("-c bulkhead.user=test").await.is_err());
    change(&stage, |policy| {
        policy.spec("identity: {rejectPlaceholders: false}")
    })
    .await;
    wait::until("the placeholder to be let in", || async {
        stage.try_options("-c bulkhead.user=test").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn another_upstream_database_gets_connections_of_its_own() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    let old = alice.server_pid().await;
    // The same server by another name is another upstream: no connection of the old one is reused.
    change(&stage, |policy| {
        policy.database("upstream: {host: localhost}")
    })
    .await;
    wait::until("another server connection", || async {
        alice.server_pid().await != old
    })
    .await;
}

#[tokio::test]
async fn sighup_looks_again_and_ends_nothing() {
    let mut stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    alice.run("BEGIN; SELECT 1").await;
    stage.sidecar.hang_up();
    let looking = "SIGHUP: looking at the policy and the secrets again";
    stage.sidecar.log.until_told(looking, 1).await;
    alice.run("COMMIT").await;
    assert!(stage.sidecar.runs());
}

#[tokio::test]
async fn the_revision_metric_follows() {
    let stage = Stage::start(Policy::trusted()).await;
    let before = stage.sidecar.metric("bulkhead_policy_revision", &[]);
    change(&stage, |policy| policy.timeouts("statement: 5s")).await;
    assert_ne!(
        (
            before,
            stage
                .sidecar
                .metrics()
                .text()
                .contains("bulkhead_policy_revision")
        ),
        (stage.sidecar.metric("bulkhead_policy_revision", &[]), false)
    );
}
