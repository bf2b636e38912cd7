//! What a client sets as nobody goes with it; what a user sets is theirs.

use super::{nobody, setting, stage_with_notes};

const ZONE: &str = "SELECT current_setting('timezone')";

#[tokio::test]
async fn what_nobody_sets_is_there_for_every_user() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let session = nobody(&stage).await;
    session.run("SET TIME ZONE 'Pacific/Chatham'").await;
    // In a transaction, as drivers that open one by themselves do it.
    session.run("BEGIN").await;
    session.run("SET work_mem = '7MB'").await;
    session.run("COMMIT").await;
    session.run("BEGIN").await;
    session.run("SET work_mem = '9MB'").await;
    session.run("ROLLBACK").await;
    for user in ["alice", "bob", "alice"] {
        session.run(&format!("SET app.user_id = '{user}'")).await;
        assert_eq!(
            session.text(ZONE).await.as_deref(),
            Some("Pacific/Chatham"),
            "{user}"
        );
        session.run(&format!("SET app.user_id = '{user}'")).await;
        assert_eq!(
            session.text("SHOW work_mem").await.as_deref(),
            Some("7MB"),
            "{user}"
        );
    }
    session.run("RESET ALL").await;
    session.run("SET app.user_id = 'alice'").await;
    assert_ne!(session.text(ZONE).await.as_deref(), Some("Pacific/Chatham"));
}

#[tokio::test]
async fn what_a_user_sets_is_dropped_at_a_switch() {
    let stage = stage_with_notes(setting("Connection")).await;
    let session = nobody(&stage).await;
    session.run("SET TIME ZONE 'UTC'").await;
    session.run("SET app.user_id = 'alice'").await;
    session.run("SET TIME ZONE 'Pacific/Chatham'").await;
    assert_eq!(session.text(ZONE).await.as_deref(), Some("Pacific/Chatham"));
    session.run("SET app.user_id = 'bob'").await;
    assert_eq!(session.text(ZONE).await.as_deref(), Some("UTC"));
    session.run("RESET app.user_id").await;
    session.run("SET app.user_id = 'alice'").await;
    assert_eq!(session.text(ZONE).await.as_deref(), Some("UTC"));
}

#[tokio::test]
async fn a_value_that_the_server_refuses_is_refused_when_it_is_set() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let session = nobody(&stage).await;
    assert_eq!(session.refused("SET work_mem = 'much'").await.code, "22023");
    session.run("SET app.user_id = 'alice'").await;
    assert_eq!(
        session.text("SELECT 'still here'").await.as_deref(),
        Some("still here")
    );
}

#[tokio::test]
async fn role_and_session_are_not_nobodys_to_set() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let session = nobody(&stage).await;
    for text in [
        "SET ROLE chat_reader",
        "SET role = chat_reader",
        "SET SESSION AUTHORIZATION chat_app",
    ] {
        assert_eq!(session.refused(text).await.code, "28000", "{text}");
    }
}
