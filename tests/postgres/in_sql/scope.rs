//! How long a name lasts, and what a client may do without one.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;

use super::{OWN, nobody, setting, stage_with_notes};

#[tokio::test]
async fn nobody_has_no_rows_and_no_server_connection() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let session = nobody(&stage).await;
    for text in [
        OWN,
        "SELECT * FROM things",
        "DELETE FROM things",
        "SELECT 1 FROM things",
    ] {
        let refusal = session.refused(text).await;
        assert_eq!(refusal.code, "28000", "{text}");
        assert!(
            refusal.hint.contains("SET app.user_id = 'ID'"),
            "{refusal:?}"
        );
    }
    // What drivers ask is answered, and what pools say.
    assert_eq!(session.text("SELECT 1").await.as_deref(), Some("1"));
    for text in [
        "",
        ";",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "BEGIN; ROLLBACK",
        "RESET ALL",
        "DISCARD ALL",
        "-- ping",
    ] {
        session.run(text).await;
    }
    assert!(
        session
            .text("SELECT version()")
            .await
            .unwrap()
            .starts_with("PostgreSQL")
    );
    assert_eq!(
        session
            .text("SHOW server_version_num")
            .await
            .map(|it| it.len()),
        Some(6)
    );
}

#[tokio::test]
async fn a_name_lasts_one_transaction() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let session = nobody(&stage).await;
    session.run("SET app.user_id = 'alice'").await;
    assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
    assert_eq!(session.refused(OWN).await.code, "28000");
    for end in ["COMMIT", "ROLLBACK"] {
        session.run("BEGIN").await;
        session.run("SET app.user_id = 'bob'").await;
        assert_eq!(session.text(OWN).await.as_deref(), Some("of bob"));
        assert_eq!(session.text(OWN).await.as_deref(), Some("of bob"));
        session.run(end).await;
        assert_eq!(session.refused(OWN).await.code, "28000", "{end}");
    }
    // Named outside, it lasts through the next transaction; a pool's ROLLBACK ends it too.
    session.run("SET app.user_id = 'alice'").await;
    session.run("SELECT 1").await;
    session.run("BEGIN").await;
    assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
    session.run("COMMIT").await;
    session.run("SET app.user_id = 'alice'").await;
    session.run("ROLLBACK").await;
    assert_eq!(session.refused(OWN).await.code, "28000");
}

#[tokio::test]
async fn by_choice_a_name_lasts_as_long_as_the_connection() {
    let stage = stage_with_notes(setting("Connection")).await;
    let session = nobody(&stage).await;
    session.run("SET app.user_id = 'alice'").await;
    for _ in 0..3 {
        assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
    }
    session.run("ROLLBACK").await;
    assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
    session.run("SET app.user_id = 'bob'").await;
    assert_eq!(session.text(OWN).await.as_deref(), Some("of bob"));
    // SET LOCAL and is_local last a transaction all the same.
    session.run("BEGIN").await;
    session
        .run("SELECT set_config('app.user_id', 'alice', true)")
        .await;
    assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
    session.run("COMMIT").await;
    assert_eq!(session.refused(OWN).await.code, "28000");
}

#[tokio::test]
async fn what_takes_a_name_back_leaves_nobody() {
    let stage = stage_with_notes(setting("Connection")).await;
    let session = nobody(&stage).await;
    for text in [
        "RESET app.user_id",
        "RESET ALL",
        "DISCARD ALL",
        "SET app.user_id TO DEFAULT",
        "SET app.user_id = ''",
        "SELECT set_config('app.user_id', '', false)",
        "SELECT set_config('app.user_id', NULL, false)",
        "SELECT set_config('app.user_id', 'bob', true)",
        "SET LOCAL app.user_id = 'bob'",
        "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
    ] {
        session.run("SET app.user_id = 'alice'").await;
        assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
        session.run(text).await;
        assert_eq!(session.refused(OWN).await.code, "28000", "{text}");
    }
    // A rollback takes back what was said inside of it.
    session.run("SET app.user_id = 'alice'").await;
    session.run("BEGIN").await;
    session.run("SET app.user_id = 'bob'").await;
    assert_eq!(session.text(OWN).await.as_deref(), Some("of bob"));
    session.run("ROLLBACK").await;
    assert_eq!(session.refused(OWN).await.code, "28000");
}

#[tokio::test]
async fn a_failed_switch_leaves_nobody() {
    let stage = stage_with_notes(setting("Connection")).await;
    let session = nobody(&stage).await;
    for text in [
        "SET app.user_id = 'null'",
        "SET bulkhead.user = 'undefined'",
        "SET bulkhead.context = 'x.y.z'",
    ] {
        session.run("SET app.user_id = 'alice'").await;
        assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
        assert_eq!(session.refused(text).await.code, "28000", "{text}");
        assert_eq!(session.refused(OWN).await.code, "28000", "{text}");
    }
    session.run("SET app.user_id = 'alice'").await;
    session.run("BEGIN").await;
    assert_eq!(
        session.refused("SET app.user_id = 'null'").await.code,
        "28000"
    );
    assert_eq!(session.refused(OWN).await.code, "25P02");
    assert_eq!(
        session.refused("SET app.user_id = 'bob'").await.code,
        "25P02"
    );
    session.run("ROLLBACK").await;
    assert_eq!(session.refused(OWN).await.code, "28000");
}

#[tokio::test]
async fn a_switch_inside_of_a_transaction_is_refused() {
    let stage = stage_with_notes(setting("Connection")).await;
    let session = nobody(&stage).await;
    session.run("BEGIN").await;
    session.run("SET app.user_id = 'alice'").await;
    assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
    assert_eq!(
        session.refused("SET app.user_id = 'bob'").await.code,
        "25001"
    );
    assert_eq!(session.refused(OWN).await.code, "25P02");
    session.run("ROLLBACK").await;
    assert_eq!(session.refused(OWN).await.code, "28000");
}

#[tokio::test]
async fn what_a_user_leaves_on_a_session_is_not_there_for_the_next() {
    for mode in ["Transaction", "Session"] {
        let stage = stage_with_notes(setting("Connection").pool(&format!("mode: {mode}"))).await;
        let session = nobody(&stage).await;
        session.run("SET app.user_id = 'alice'").await;
        session
            .run("CREATE TEMP TABLE secret AS SELECT 42 AS n")
            .await;
        session.run("SET work_mem = '7MB'").await;
        session.run("LISTEN gossip").await;
        let pid = session.server_pid().await;
        session.run("SET app.user_id = 'bob'").await;
        assert_ne!(session.server_pid().await, pid, "{mode}");
        assert_eq!(session.text(OWN).await.as_deref(), Some("of bob"));
        assert_eq!(
            session.refused("SELECT n FROM secret").await.code,
            "42P01",
            "{mode}"
        );
        assert_ne!(
            session.text("SHOW work_mem").await.as_deref(),
            Some("7MB"),
            "{mode}"
        );
        session.run("SET app.user_id = 'alice'").await;
        assert_eq!(
            session.refused("SELECT n FROM secret").await.code,
            "42P01",
            "{mode}"
        );
    }
}

#[tokio::test]
async fn in_mode_audit_nobody_is_served_and_counted() {
    let policy = setting("Transaction").spec("mode: Audit");
    let stage = stage_with_notes(policy).await;
    let session = nobody(&stage).await;
    assert_eq!(
        session.text("SELECT count(*) FROM things").await.as_deref(),
        Some("100")
    );
    session.run("SET app.user_id = 'alice'").await;
    assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
    assert_eq!(session.text(OWN).await.as_deref(), Some(""));
    assert_eq!(
        stage
            .sidecar
            .metrics()
            .sum("bulkhead_unattributed_total", &[]),
        1.0
    );
}

#[tokio::test]
async fn without_permission_a_name_in_sql_is_any_other_setting() {
    let stage = Stage::start(Policy::trusted()).await;
    let session = stage.user("alice").await;
    session.run("SET app.other = 'bob'").await;
    assert_eq!(
        session
            .text("SELECT current_setting('app.user_id')")
            .await
            .as_deref(),
        Some("alice")
    );
}
