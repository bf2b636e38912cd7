//! Hours of everything, or seconds: `BULKHEAD_SOAK_SECONDS` says how long. Users come, work, fail, are cancelled, time out, vanish and
//! never return; memory and descriptors stay what they were after the first third.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bulkhead_tests::dice::Dice;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::{Session, connect};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use tokio_postgres::{Config, Error, NoTls};

use super::policy;

/// How long it lasts where nothing else is said.
const SECONDS: u64 = 20;

/// Clients at once.
const CLIENTS: u32 = 16;

/// What resident memory may have grown by since the first third: a tenth, and this.
const GROWTH: u64 = 6 << 20;

/// What descriptors may have grown by: what happens to be open at the moment of the look.
const FILES: usize = 3 * CLIENTS as usize;

/// How long to soak.
fn length() -> Duration {
    let asked = std::env::var("BULKHEAD_SOAK_SECONDS").ok();
    let seconds = asked.map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

/// One piece of a user's work or trouble.
async fn piece(session: &Session, user: &str, dice: &mut Dice) -> Result<(), Error> {
    match dice.below(9) {
        0 => {
            let failed = session.simple_query("SELECT 1/0").await;
            assert_eq!(Refusal::from(failed.unwrap_err()).code, "22012");
        }
        1 => {
            let cancel = session.cancel_token();
            let (_, sent) = tokio::join!(
                session.simple_query("SELECT pg_sleep(0.02)"),
                cancel.cancel_query(NoTls)
            );
            sent?;
        }
        2 => {
            // Longer than it may take.
            let _ = session.simple_query("SELECT pg_sleep(5)").await;
        }
        3 => {
            session.batch_execute("BEGIN").await?;
            let _ = session.simple_query("SELECT nothing_at_all").await;
            session.batch_execute("ROLLBACK").await?;
        }
        4 => {
            session
                .batch_execute("CREATE TEMP TABLE IF NOT EXISTS mine (n int)")
                .await?;
        }
        5 => {
            let big = session
                .query_one("SELECT repeat($1, 20000)", &[&user])
                .await?;
            assert_eq!(big.get::<_, &str>(0).len(), user.len() * 20_000);
        }
        6 => {
            let text = format!("SELECT $1::text, {}", dice.below(50));
            let statement = session.prepare(&text).await?;
            let row = session.query_one(&statement, &[&user]).await?;
            assert_eq!(row.get::<_, &str>(0), user);
        }
        _ => {
            let owner = session
                .query_one("SELECT current_setting('app.user_id')", &[])
                .await?;
            assert_eq!(owner.get::<_, &str>(0), user, "another's connection");
        }
    }
    Ok(())
}

/// Users who come one after the other, each of whom is never seen again.
async fn live(mut config: Config, seed: u32, over: Arc<AtomicBool>, done: Arc<AtomicU32>) {
    let mut dice = Dice(seed * 7919 + 17);
    for visit in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let user = format!("soak-{seed}-{visit}");
        config.options(format!("-c bulkhead.user={user}"));
        let Ok(session) = connect(&config).await else {
            wait::pause().await;
            continue;
        };
        for _ in 0..12 {
            match piece(&session, &user, &mut dice).await {
                Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                // A cancel that came late, or a place in the queue that did not come in time.
                Err(error) if error.as_db_error().is_some() => 0,
                Err(_) => break,
            };
        }
        if dice.below(2) == 0 {
            session.close().await;
        } else {
            // Vanishes in the middle of a query.
            let query = session.simple_query("SELECT pg_sleep(3)");
            let _ = tokio::time::timeout(Duration::from_millis(5), query).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_descriptors_are_flat_over_a_long_soak() {
    let policy = policy()
        .pool("maxConnections: 20, perUser: {max: 2}")
        .timeouts("statement: 100ms, acquire: 5s, idle: 500ms, lifetime: 5s");
    let mut stage = Stage::start(policy).await;
    let fresh = stage.sidecar.descriptors();
    let (over, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|seed| {
            let (over, done) = (Arc::clone(&over), Arc::clone(&done));
            tokio::spawn(live(stage.config(), seed, over, done))
        })
        .collect();
    let (start, length) = (Instant::now(), length());
    let look = async |until: Duration| {
        wait::until_within(until * 2, "the time to pass", || async {
            start.elapsed() >= until
        })
        .await;
        (stage.sidecar.memory("RssAnon"), stage.sidecar.descriptors())
    };
    let first = look(length / 3).await;
    let last = look(length).await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        wait::within("a client's last visit", client).await.unwrap();
    }
    let done = done.load(Ordering::Relaxed);
    assert!(
        u64::from(done) > length.as_secs() * 10,
        "{done} pieces of work in {length:?}"
    );
    let told = format!("after {done} pieces of work: (memory, files) from {first:?} to {last:?}");
    assert!(last.0 <= first.0 + first.0 / 10 + GROWTH, "{told}");
    assert!(last.1 <= first.1 + FILES, "{told}");
    println!("{told}");

    // Nothing of anybody is left.
    for metric in [
        "bulkhead_connections",
        "bulkhead_factories",
        "bulkhead_server_connections",
    ] {
        stage.until_metric(metric, &[], 0.0).await;
    }
    let left = stage.sidecar.descriptors();
    assert!(
        left <= fresh + 4,
        "{left} descriptors, {fresh} at the start"
    );
    assert!(stage.cross_user_handoffs() < 0.5);
    assert!(stage.sidecar.runs());
}
