//! Everything at once: many users, every kind of work, cancels, timeouts, and an assassin among the server processes. Whatever is
//! answered is the asker's own answer, in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bulkhead_tests::dice::Dice;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use tokio_postgres::{Client, Config, NoTls};

/// One piece of work. `Ok` says that every answer was right; an error is the chaos, and is allowed.
async fn work(client: &Client, user: &str, dice: &mut Dice) -> Result<(), tokio_postgres::Error> {
    let number = i32::try_from(dice.below(100_000)).unwrap();
    let mark = format!("{user}/{number}");
    match dice.below(8) {
        0 => {
            let row = client
                .query_one("SELECT $1::text, current_setting('app.user_id')", &[&mark])
                .await?;
            assert_eq!(
                (row.get::<_, &str>(0), row.get::<_, &str>(1)),
                (mark.as_str(), user)
            );
        }
        1 => {
            let statement = client
                .prepare("SELECT $1::int4 + 1, current_setting('app.user_id')")
                .await?;
            for step in 0..3 {
                let row = client.query_one(&statement, &[&(number + step)]).await?;
                assert_eq!(
                    (row.get::<_, i32>(0), row.get::<_, &str>(1)),
                    (number + step + 1, user)
                );
            }
        }
        2 => {
            let answers = futures_util::future::join_all((0..10).map(|step| async move {
                let row = client
                    .query_one("SELECT $1::int4", &[&(number + step)])
                    .await?;
                Ok::<_, tokio_postgres::Error>((step, row.get::<_, i32>(0)))
            }))
            .await;
            for answer in answers {
                let (step, got) = answer?;
                assert_eq!(got, number + step);
            }
        }
        3 => {
            client.batch_execute("BEGIN").await?;
            let outcome = client
                .execute(
                    "INSERT INTO notes (owner, body) VALUES ($1, $2)",
                    &[&user, &mark],
                )
                .await;
            client
                .batch_execute(if number % 2 == 0 {
                    "COMMIT"
                } else {
                    "ROLLBACK"
                })
                .await?;
            outcome?;
        }
        4 => {
            let cancel = client.cancel_token();
            let sql = format!("SELECT '{mark}', pg_sleep(0.01)");
            let (answer, _) = tokio::join!(client.simple_query(&sql), cancel.cancel_query(NoTls));
            for message in answer? {
                if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                    assert_eq!(row.get(0), Some(mark.as_str()));
                }
            }
        }
        5 => {
            // Longer than the statement timeout of this stage.
            client.simple_query("SELECT pg_sleep(1)").await?;
        }
        6 => {
            let rows = client.query("SELECT owner FROM notes", &[]).await?;
            assert!(
                rows.iter().all(|row| row.get::<_, &str>(0) == user),
                "{user} sees another's rows"
            );
        }
        _ => {
            let big = client
                .query_one("SELECT repeat($1, 5000)", &[&mark])
                .await?
                .get::<_, String>(0);
            assert_eq!(big, mark.repeat(5000));
        }
    }
    Ok(())
}

async fn live(config: Config, user: String, seed: u32, served: Arc<AtomicU32>) {
    let mut dice = Dice(seed);
    for _ in 0..6 {
        let Ok((client, connection)) = config.connect(NoTls).await else {
            continue;
        };
        let carrier = tokio::spawn(connection);
        for _ in 0..12 {
            match work(&client, &user, &mut dice).await {
                Ok(()) => {
                    served.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.as_db_error().is_some() => {
                    // A transaction may be open still, or failed.
                    if client.batch_execute("ROLLBACK").await.is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        drop(client);
        carrier.abort();
    }
}

async fn chaos(policy: Policy) -> Stage {
    let policy = policy
        .pool("maxConnections: 12, perUser: {max: 2}")
        .timeouts("statement: 150ms, acquire: 5s, connect: 5s, lifetime: 2s, idle: 300ms")
        .database("breaker: {failures: 1000}");
    let mut stage = Stage::start(policy).await;
    let served = Arc::new(AtomicU32::new(0));
    let mut users = Vec::new();
    for number in 0..24 {
        let user = format!("user-{}", number % 16);
        let mut config = stage.config();
        config.options(format!("-c bulkhead.user={user}"));
        let seed = number * 7919 + 17;
        users.push(tokio::spawn(live(config, user, seed, Arc::clone(&served))));
    }
    let over = Arc::new(AtomicBool::new(false));
    let assassin = {
        let (admin, over) = (stage.admin().await, Arc::clone(&over));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                admin
                    .run(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE datname = current_database() AND usename <> 'postgres' \
                         ORDER BY random() LIMIT 1",
                    )
                    .await;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        })
    };
    for user in users {
        let life = tokio::time::timeout(Duration::from_secs(60), user);
        life.await.expect("no client hangs").unwrap();
    }
    over.store(true, Ordering::Relaxed);
    assassin.await.unwrap();

    assert!(
        served.load(Ordering::Relaxed) > 100,
        "too little came through: {served:?}"
    );
    assert!(stage.sidecar.runs());
    settled(&stage).await;
    stage
}

/// When the dust has settled everything is as before: no client, no permit and no row is left where it does not belong.
async fn settled(stage: &Stage) {
    stage.until_metric("bulkhead_connections", &[], 0.0).await;
    let mut newcomers = Vec::new();
    for number in 0..12 {
        let newcomer = stage.user(&format!("newcomer-{number}")).await;
        newcomer.run("BEGIN; SELECT 1").await;
        newcomers.push(newcomer);
    }
    for newcomer in newcomers {
        newcomer.run("COMMIT").await;
    }
    let wrong = stage
        .admin()
        .await
        .text("SELECT count(*) FROM notes WHERE split_part(body, '/', 1) <> owner")
        .await;
    assert_eq!(wrong.as_deref(), Some("0"));
}

#[tokio::test]
async fn whatever_happens_an_answer_is_the_askers_own() {
    let stage = chaos(Policy::trusted()).await;
    assert!(stage.cross_user_handoffs().abs() < 0.5);
}

#[tokio::test]
async fn whatever_happens_in_session_mode_an_answer_is_the_askers_own() {
    let stage = chaos(Policy::trusted().in_session_mode()).await;
    assert!(stage.cross_user_handoffs().abs() < 0.5);
}

#[tokio::test]
async fn whatever_happens_in_tier_reset_an_answer_is_the_askers_own() {
    let stage = chaos(Policy::trusted().tier("Reset")).await;
    assert!(
        stage.cross_user_handoffs() > 0.5,
        "nothing crossed: nothing was tried"
    );
}
