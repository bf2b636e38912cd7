//! Run-time parameters that the policy gives to every server session (`session.parameters`).

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

const PARAMETERS: &str = "session: {parameters: {lock_timeout: 2s, work_mem: 8MB, search_path: 'app, public', app.tenant: acme}}";

const SHOWN: &str = "SELECT current_setting('lock_timeout') || ' ' || current_setting('work_mem') || ' ' || current_setting('search_path') || ' ' || current_setting('app.tenant')";

const GIVEN: Option<&str> = Some("2s 8MB app, public acme");

#[tokio::test]
async fn every_session_has_them_in_every_tier_and_mode() {
    for (tier, mode) in [
        ("Dedicated", "Transaction"),
        ("Dedicated", "Session"),
        ("Reset", "Transaction"),
        ("Reset", "Session"),
        ("Shared", "Transaction"),
        ("Shared", "Session"),
    ] {
        let policy = Policy::trusted()
            .tier(tier)
            .pool(&format!("mode: {mode}, warm: 1"))
            .database(PARAMETERS);
        let stage = Stage::start(policy).await;
        for user in ["alice", "bob", "alice"] {
            let session = stage.user(user).await;
            assert_eq!(
                session.text(SHOWN).await.as_deref(),
                GIVEN,
                "{tier} {mode} {user}"
            );
        }
    }
}

#[tokio::test]
async fn reset_and_discard_all_go_back_to_them_and_a_client_may_set_others_over_them() {
    let stage = Stage::start(Policy::trusted().database(PARAMETERS)).await;
    let (alice, other) = (stage.user("alice").await, stage.user("alice").await);
    for back in [
        "RESET lock_timeout",
        "RESET ALL",
        "DISCARD ALL",
        "SET lock_timeout TO DEFAULT",
    ] {
        alice.run("SET lock_timeout = '7s'").await;
        // Her own, in every transaction from now on; her other connection's not.
        for _ in 0..3 {
            assert_eq!(alice.text("SHOW lock_timeout").await.as_deref(), Some("7s"));
            assert_eq!(other.text("SHOW lock_timeout").await.as_deref(), Some("2s"));
        }
        alice.run(back).await;
        assert_eq!(alice.text(SHOWN).await.as_deref(), GIVEN, "{back}");
    }
    // What a client brings at its login counts for that client.
    let options = "-c bulkhead.user=alice -c work_mem=1MB";
    let brings = stage.try_options(options).await.unwrap();
    assert_eq!(brings.text("SHOW work_mem").await.as_deref(), Some("1MB"));
    assert_eq!(other.text("SHOW work_mem").await.as_deref(), Some("8MB"));
}

#[tokio::test]
async fn the_policys_own_timeout_counts_in_the_place_of_the_backstop() {
    let policy = Policy::trusted().database("session: {parameters: {statement_timeout: 200ms}}");
    let stage = Stage::start(policy).await;
    let alice = stage.user("alice").await;
    assert_eq!(
        alice.text("SHOW statement_timeout").await.as_deref(),
        Some("200ms")
    );
    let refusal = alice.refused("SELECT pg_sleep(30)").await;
    assert_eq!(refusal.code, "57014", "{refusal:?}");
    assert!(
        refusal.message.contains("statement timeout"),
        "the server's own word: {refusal:?}"
    );
}

#[tokio::test]
async fn a_change_of_the_policy_reaches_connected_clients() {
    let stage = Stage::start(Policy::trusted().database(PARAMETERS)).await;
    let alice = stage.user("alice").await;
    assert_eq!(alice.text("SHOW work_mem").await.as_deref(), Some("8MB"));
    let changed = stage
        .sidecar
        .policy()
        .clone()
        .database("session: {parameters: {work_mem: 16MB}}");
    stage.sidecar.write_policy(&changed.text());
    wait::until("the new value", || async {
        alice.text("SHOW work_mem").await.as_deref() == Some("16MB")
    })
    .await;
}

#[tokio::test]
async fn one_that_the_server_does_not_take_is_told_by_the_servers_word() {
    let policy = Policy::trusted().database("session: {parameters: {work_mem: much}}");
    let stage = Stage::with(policy).unready().start().await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "22023", "{refusal:?}");
    assert!(refusal.message.contains("work_mem"), "{refusal:?}");
}
