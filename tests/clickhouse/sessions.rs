//! `session_id`: bound to its user, and otherwise as the server has it.

use bulkhead_tests::clickhouse::{Server, Stage, trusted};

#[tokio::test]
async fn two_users_sessions_of_one_name_never_meet() {
    let stage = Stage::start(&trusted());
    let made = stage
        .query_with(
            "alice",
            "session_id=s",
            "CREATE TEMPORARY TABLE mine (a String)",
        )
        .await;
    assert_eq!(made.rows(), "");
    let insert = stage
        .query_with(
            "alice",
            "session_id=s",
            "INSERT INTO mine VALUES ('secret')",
        )
        .await;
    assert_eq!(insert.rows(), "");
    let own = stage
        .query_with(
            "alice",
            "session_id=s&session_check=1",
            "SELECT a FROM mine",
        )
        .await;
    assert_eq!(own.rows(), "secret");
    let others = stage
        .query_with("bob", "session_id=s", "SELECT a FROM mine")
        .await;
    assert!(
        others.status == 404 && others.body.starts_with("Code: 60,"),
        "{others:?}"
    );
    for guess in ["bulkhead:alice:s", "alice:s", "s%00"] {
        let guessed = stage
            .query_with(
                "bob",
                &format!("session_id={guess}&session_check=1"),
                "SELECT a FROM mine",
            )
            .await;
        assert!(guessed.body.starts_with("Code: 372,"), "{guessed:?}");
    }
}

#[tokio::test]
async fn a_session_is_locked_while_it_is_used_and_ends_with_its_timeout() {
    let stage = Stage::start(&trusted());
    let long = stage.query_with(
        "alice",
        "session_id=lock",
        "SELECT sleepEachRow(1) /* locking */ FROM numbers(3) SETTINGS max_block_size = 1",
    );
    let locked = async {
        Server::shared().until_running("/* locking */", 1).await;
        stage
            .query_with("alice", "session_id=lock", "SELECT 1")
            .await
    };
    let (long, locked) = tokio::join!(long, locked);
    assert_eq!(long.status, 200);
    assert!(locked.body.starts_with("Code: 373,"), "{locked:?}");
    let long_timeout = stage
        .query_with("alice", "session_id=t&session_timeout=999999", "SELECT 1")
        .await;
    assert!(
        long_timeout.body.starts_with("Code: 374,"),
        "{long_timeout:?}"
    );
    let short = stage
        .query_with("alice", "session_id=t&session_timeout=1", "SELECT 1")
        .await;
    assert_eq!(short.rows(), "1");
    bulkhead_tests::wait::until("the session to end", || async {
        let again = stage
            .query_with(
                "alice",
                "session_id=t&session_check=1&session_timeout=1",
                "SELECT 1",
            )
            .await;
        if again.status == 200 {
            // Each use lengthens its life: the next look must come later than that.
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        }
        again.body.starts_with("Code: 372,")
    })
    .await;
}

#[tokio::test]
async fn a_session_named_twice_is_refused() {
    let stage = Stage::start(&trusted());
    stage
        .query_with("alice", "session_id=a&SESSION_ID=b", "SELECT 1")
        .await
        .is_error(400, 36, "session_id is there twice");
}
