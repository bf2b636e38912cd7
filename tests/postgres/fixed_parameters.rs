//! Run-time parameters that clients may not set (`session.fixedParameters`).

use bulkhead_tests::policy::Policy;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;

const FIXED: &str =
    "session: {parameters: {work_mem: 8MB}, fixedParameters: [work_mem, role, app.user_id]}";

const FIELD: &str = "databases[main].session.fixedParameters";

fn is_the_policys(refusal: &Refusal) -> bool {
    refusal.code == "42501" && refusal.message.contains(FIELD)
}

#[tokio::test]
async fn what_sets_one_is_refused_before_any_server_hears_it() {
    for mode in ["Transaction", "Session"] {
        let policy = Policy::trusted()
            .database(FIXED)
            .pool(&format!("mode: {mode}"));
        let stage = Stage::start(policy).await;
        let alice = stage.user("alice").await;
        for text in [
            "SET work_mem = '64MB'",
            "SET LOCAL work_mem = '64MB'",
            "SELECT 1; SET SESSION work_mem TO '64MB'",
            "SELECT set_config('work_mem', '64MB', false)",
            "UPDATE pg_settings SET setting = '1MB' WHERE name = 'work' || '_mem'",
            "SET ROLE chat_app",
            "SET app.user_id = 'bob'",
            "SET U&\"work\\005fmem\" = '64MB'",
        ] {
            let refusal = alice.refused(text).await;
            assert!(is_the_policys(&refusal), "{mode} {text}: {refusal:?}");
            // And her session goes on.
            let now = "SELECT current_setting('work_mem') || current_setting('app.user_id')";
            assert_eq!(alice.text(now).await.as_deref(), Some("8MBalice"), "{text}");
        }
    }
}

#[tokio::test]
async fn the_extended_protocol_and_a_login_are_no_ways_round() {
    let stage = Stage::start(Policy::trusted().database(FIXED)).await;
    let mut alice = stage.user("alice").await;
    for text in [
        "SET work_mem = '64MB'",
        "SELECT set_config('work_mem', $1, false)",
    ] {
        let refusal = Refusal::from(alice.prepare(text).await.unwrap_err());
        assert!(is_the_policys(&refusal), "{text}: {refusal:?}");
    }
    // Inside a transaction it is an error like others: the transaction has failed.
    let transaction = alice.transaction().await.unwrap();
    transaction.query_one("SELECT 1", &[]).await.unwrap();
    let refusal = Refusal::from(
        transaction
            .prepare("SET work_mem = '1GB'")
            .await
            .unwrap_err(),
    );
    assert!(is_the_policys(&refusal), "{refusal:?}");
    let after = Refusal::from(transaction.query_one("SELECT 1", &[]).await.unwrap_err());
    assert_eq!(after.code, "25P02");
    transaction.rollback().await.unwrap();
    assert_eq!(alice.text("SHOW work_mem").await.as_deref(), Some("8MB"));

    let options = "-c bulkhead.user=alice -c work_mem=64MB";
    let refusal = Refusal::from(stage.try_options(options).await.map(|_| ()).unwrap_err());
    assert!(is_the_policys(&refusal), "{refusal:?}");
}

#[tokio::test]
async fn a_transaction_in_which_one_is_set_has_failed_and_a_batch_goes_on_at_its_sync() {
    let stage = Stage::start(Policy::trusted().database(FIXED)).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("SELECT 1").await;
    let answer = wire.query("SET work_mem = '64MB'").await;
    assert_eq!(answer.refusal().code, "42501");
    assert_eq!(wire.query("COMMIT").await.commands(), ["ROLLBACK"]);

    wire.send(send::parse("", "SET work_mem = '64MB'")).await;
    wire.send(send::bind("", "", &[])).await;
    wire.send(send::execute("", 0)).await;
    wire.send(send::sync()).await;
    let answer = wire.until(b'Z').await;
    assert_eq!(answer.refusal().code, "42501", "{answer:?}");
    assert_eq!(wire.query("SELECT 2").await.value().as_deref(), Some("2"));
}

#[tokio::test]
async fn what_sets_no_fixed_one_passes_and_reset_goes_back() {
    let stage = Stage::start(Policy::trusted().database(FIXED)).await;
    let alice = stage.user("alice").await;
    for text in [
        "SET lock_timeout = '5s'",
        "RESET work_mem",
        "RESET ROLE",
        "RESET ALL",
        "DISCARD ALL",
        "SET work_mem TO DEFAULT",
        "SELECT 'SET work_mem = 1'",
    ] {
        alice.run(text).await;
    }
    assert_eq!(alice.text("SHOW work_mem").await.as_deref(), Some("8MB"));
}

#[tokio::test]
async fn a_set_behind_a_long_statement_is_read_too() {
    let stage = Stage::start(Policy::trusted().database(FIXED)).await;
    let alice = stage.user("alice").await;
    let long = "x".repeat(200_000);
    let refusal = alice
        .refused(&format!("SELECT '{long}'; SET work_mem = '64MB'"))
        .await;
    assert!(is_the_policys(&refusal), "{refusal:?}");
    let length = alice.text(&format!("SELECT length('{long}')")).await;
    assert_eq!(length.as_deref(), Some("200000"));
    // What is too long to be read whole is not run unread.
    let longer = "x".repeat(2_000_000);
    let refusal = alice.refused(&format!("SELECT '{longer}'")).await;
    assert_eq!(refusal.code, "54000", "{refusal:?}");
}

#[tokio::test]
async fn one_that_a_policy_comes_to_fix_is_taken_back_from_those_who_have_set_it() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    alice.run("SET work_mem = '64MB'").await;
    let changed = stage.sidecar.policy().clone().database(FIXED);
    stage.sidecar.write_policy(&changed.text());
    wait::until("the policy's value", || async {
        alice.text("SHOW work_mem").await.as_deref() == Some("8MB")
    })
    .await;
    assert!(is_the_policys(&alice.refused("SET work_mem = 1").await));
}

#[tokio::test]
async fn users_are_named_in_sql_beside_it() {
    let policy = Policy::trusted()
        .spec("identity: {inSql: {scope: Connection}}")
        .database("session: {fixedParameters: [work_mem]}");
    let stage = Stage::start(policy).await;
    let session = bulkhead_tests::session::connect(&stage.config())
        .await
        .unwrap();
    // As nobody, and as somebody,
    assert!(is_the_policys(&session.refused("SET work_mem = 1").await));
    session.run("SET bulkhead.user = 'alice'").await;
    assert!(is_the_policys(&session.refused("SET work_mem = 1").await));
    let user = session.text("SELECT current_setting('app.user_id')").await;
    assert_eq!(user.as_deref(), Some("alice"));
    // and behind a BEGIN that no server has heard.
    session.run("BEGIN").await;
    assert!(is_the_policys(
        &session.refused("SET LOCAL work_mem = 1").await
    ));
    session.run("ROLLBACK").await;
    assert_eq!(session.text("SELECT 1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn in_audit_it_is_counted_and_let_through() {
    const COUNT: &str = "bulkhead_fixed_parameter_changes_total";
    let stage = Stage::start(Policy::trusted().spec("mode: Audit").database(FIXED)).await;
    let alice = stage.user("alice").await;
    alice.run("SET work_mem = '64MB'").await;
    assert_eq!(alice.text("SHOW work_mem").await.as_deref(), Some("64MB"));
    let options = "-c bulkhead.user=alice -c work_mem=1MB";
    let brings = stage.try_options(options).await.unwrap();
    assert_eq!(brings.text("SHOW work_mem").await.as_deref(), Some("1MB"));
    assert_eq!(stage.sidecar.metric(COUNT, &[("upstream", "main")]), 2.0);
}
