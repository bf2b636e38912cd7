//! Tier `Reset` with far more users at work than there are connections: those go from user to user, on whatever worker they live,
//! and are not made anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use tokio::task::JoinSet;

const USERS: u32 = 48;
const CONNECTIONS: u32 = 5;
const WORKERS: u32 = 3;
const TRANSACTIONS: u32 = 12;

/// How long the sidecar may take to end.
const END: Duration = Duration::from_secs(10);

async fn stage() -> Stage {
    let policy = Policy::trusted()
        .tier("Reset")
        .pool(&format!(
            "maxConnections: {CONNECTIONS}, perUser: {{max: 2}}"
        ))
        .timeouts("acquire: 50s, statement: 50s");
    Stage::with(policy).workers(WORKERS).start().await
}

/// One transaction: what is answered is the asking user's, and what others have left is not to be seen. It leaves something itself.
async fn ask(session: &Session, user: &str) -> Result<(), tokio_postgres::Error> {
    let seen = "SELECT current_setting('app.user_id'), coalesce(current_setting('app.trace', true), ''),
        current_setting('application_name'), set_in_secret('app.trace', current_setting('app.user_id'))";
    for message in session.simple_query(seen).await? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            assert_eq!(row.get(0), Some(user));
            let trace = row.get(1).unwrap_or_default();
            assert!(trace.is_empty() || trace == user, "{user} sees {trace}'s");
            assert_eq!(row.get(2), Some(user), "its own settings");
        }
    }
    Ok(())
}

async fn log_in(stage: &Stage, number: u32) -> (String, Session) {
    let user = format!("user-{number}");
    let mut config = stage.config();
    config
        .options(format!("-c bulkhead.user={user}"))
        .application_name(&user);
    let session = bulkhead_tests::session::connect(&config).await.unwrap();
    (user, session)
}

#[tokio::test]
async fn connections_go_round_between_workers_and_are_not_made_anew() {
    // Given users on each worker, all of whom ask without a pause,
    let stage = stage().await;
    let mut users = JoinSet::new();
    for number in 0..USERS {
        let (user, session) = log_in(&stage, number).await;
        users.spawn(async move {
            for _ in 0..TRANSACTIONS {
                ask(&session, &user).await.unwrap();
            }
            session.close().await;
        });
    }
    wait::within("their work", users.join_all()).await;

    // then connections were handed over for nearly each transaction, and made a few times.
    let handed = stage.cross_user_handoffs();
    let made = stage.sidecar.metric("bulkhead_connect_seconds_count", &[]);
    assert!(handed > f64::from(USERS * TRANSACTIONS) / 2.0, "{handed}");
    assert!(made <= f64::from(3 * CONNECTIONS), "{made} were made");
    let admin = stage.admin().await;
    assert!(stage.server_sessions(&admin).await <= CONNECTIONS);

    // And no right to a connection was lost: as many users as before work at the same time.
    let mut open = Vec::new();
    for number in 100..100 + CONNECTIONS {
        let (_, session) = log_in(&stage, number).await;
        wait::within("a transaction", session.simple_query("BEGIN; SELECT 1"))
            .await
            .unwrap();
        open.push(session);
    }
}

#[tokio::test]
async fn a_drain_in_the_middle_loses_no_connection_and_mixes_no_answers() {
    let mut stage = stage().await;
    let (answered, stopped) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut users = JoinSet::new();
    for number in 0..USERS {
        let (user, session) = log_in(&stage, number).await;
        let (answered, stopped) = (Arc::clone(&answered), Arc::clone(&stopped));
        users.spawn(async move {
            loop {
                match ask(&session, &user).await {
                    Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => {
                        assert!(stopped.load(Ordering::Relaxed), "{user}: {error:?}");
                        return;
                    }
                }
            }
        });
    }
    let admin = stage.admin().await;
    wait::until("a crowd of answers", || async {
        answered.load(Ordering::Relaxed) > 4 * USERS
    })
    .await;
    stopped.store(true, Ordering::Relaxed);
    stage.sidecar.terminate();
    wait::within("everybody's end", users.join_all()).await;
    stage.sidecar.ends_well(END);
    wait::until("the end of the server's sessions", || async {
        stage.server_sessions(&admin).await == 0
    })
    .await;
}
