//! Two hundred users at once: every row that anybody reads is their own.

use bulkhead_tests::dice::Dice;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use tokio_postgres::Client;

const USERS: u32 = 200;

/// What one user does: some transactions of every kind, each checked.
async fn live(
    client: &Client,
    user: &str,
    transactions: u32,
    mut dice: Dice,
) -> Result<u32, tokio_postgres::Error> {
    let mut written = 0;
    for _ in 0..transactions {
        match dice.below(5) {
            0 => {
                client.batch_execute("BEGIN").await?;
                client
                    .execute(
                        "INSERT INTO notes (owner, body) VALUES ($1, 'undone')",
                        &[&user],
                    )
                    .await?;
                client.batch_execute("ROLLBACK").await?;
            }
            1 => {
                // Somebody else's row can be neither written nor seen.
                let theft = client
                    .execute(
                        "INSERT INTO notes (owner, body) VALUES ('somebody else', 'x')",
                        &[],
                    )
                    .await;
                assert_eq!(theft.unwrap_err().code().unwrap().code(), "42501");
            }
            _ => {
                client
                    .execute(
                        "INSERT INTO notes (owner, body) VALUES ($1, 'kept')",
                        &[&user],
                    )
                    .await?;
                written += 1;
            }
        }
        let rows = client
            .query(
                "SELECT owner, current_setting('app.user_id') FROM notes",
                &[],
            )
            .await?;
        assert_eq!(
            rows.len(),
            written as usize,
            "{user} sees another number of rows than they wrote"
        );
        for row in rows {
            assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), (user, user));
        }
    }
    Ok(written)
}

async fn crowd(policy: Policy, transactions: u32) -> Stage {
    let stage = Stage::start(policy).await;
    let mut users = Vec::new();
    for number in 0..USERS {
        let user = format!("user-{number}");
        let mut config = stage.config();
        config.options(format!("-c bulkhead.user={user}"));
        users.push(tokio::spawn(async move {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            let carrier = tokio::spawn(connection);
            let dice = Dice(number * 7919 + 17);
            let written = live(&client, &user, transactions, dice)
                .await
                .unwrap_or_else(|error| panic!("{user}: {error:?}"));
            drop(client);
            carrier.await.unwrap().unwrap();
            written
        }));
    }
    let mut written = 0;
    for user in users {
        let work = tokio::time::timeout(std::time::Duration::from_secs(60), user);
        written += work
            .await
            .expect("a user's work is done within a minute")
            .unwrap();
    }
    let admin = stage.admin().await;
    assert_eq!(
        admin.text("SELECT count(*) FROM notes").await,
        Some(written.to_string())
    );
    assert!(stage.cross_user_handoffs().abs() < 0.5);
    // When all have gone, no factory keeps a client.
    wait::until("the clients' end to be counted", || async {
        stage.sidecar.metric("bulkhead_connections", &[]).abs() < 0.5
    })
    .await;
    stage
}

#[tokio::test]
async fn two_hundred_users_at_once_see_their_own_rows_alone() {
    let policy = Policy::trusted()
        .pool("maxConnections: 250, perUser: {max: 1}")
        .timeouts("acquire: 30s, statement: 50s");
    crowd(policy, 12).await;
}

#[tokio::test]
async fn two_hundred_users_share_twenty_connections_that_never_cross() {
    let policy = Policy::trusted()
        .pool("maxConnections: 20, perUser: {max: 1}")
        .timeouts("acquire: 50s, statement: 50s");
    let stage = crowd(policy, 2).await;
    assert!(stage.sidecar.metric("bulkhead_evictions_total", &[]) > 0.0);
    let admin = stage.admin().await;
    assert!(stage.server_sessions(&admin).await <= 20);
}
