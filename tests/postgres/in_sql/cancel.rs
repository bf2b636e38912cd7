//! A client's cancel key is good wherever its user lives.

use std::time::Duration;

use super::{nobody, setting, stage_with_notes};

#[tokio::test]
async fn a_cancel_reaches_a_session_that_has_moved() {
    let stage = stage_with_notes(setting("Connection")).await;
    let admin = stage.admin().await;
    let session = nobody(&stage).await;
    // Of so many users some live on either worker, so the session goes there and back.
    for n in 0..12 {
        session.run(&format!("SET app.user_id = 'user {n}'")).await;
        let token = session.cancel_token();
        let sleep = session.simple_query("SELECT pg_sleep(60)");
        let cancel = async {
            stage.until_asleep(&admin).await;
            token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        };
        let (slept, ()) = tokio::join!(sleep, cancel);
        let error = slept.map(drop).unwrap_err();
        assert_eq!(error.code().map(|it| it.code()), Some("57014"));
    }
    let moved = stage
        .sidecar
        .metrics()
        .sum("bulkhead_user_switches_total", &[("outcome", "moved")]);
    assert!(moved > 0.0, "nobody has moved");
}

#[tokio::test]
async fn sessions_that_have_moved_are_counted_once_and_end_with_the_sidecar() {
    let mut stage = stage_with_notes(setting("Connection")).await;
    let mut sessions = Vec::new();
    for n in 0..8 {
        let session = nobody(&stage).await;
        for user in 0..5 {
            session
                .run(&format!("SET app.user_id = 'user {n} {user}'"))
                .await;
            session.run("SELECT count(*) FROM things").await;
        }
        sessions.push(session);
    }
    assert_eq!(stage.sidecar.metric("bulkhead_connections", &[]), 8.0);
    stage.sidecar.terminate();
    stage.sidecar.ends_well(Duration::from_secs(10));
}
