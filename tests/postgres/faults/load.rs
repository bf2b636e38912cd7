//! Users at work while something happens around them: transactions in a loop, each of which is counted as done, refused before it
//! had begun, or failed after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bulkhead_tests::session::connect;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error};

/// What has become of the load's transactions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Acknowledged from the beginning to COMMIT.
    pub(super) done: AtomicU32,
    /// Ended although they had begun.
    pub(super) broken: AtomicU32,
    /// Logins or beginnings that were refused.
    pub(super) refused: AtomicU32,
    /// What was said last of a broken one.
    pub(super) words: std::sync::Mutex<String>,
}

/// A load that runs.
pub(super) struct Load {
    pub(super) tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

/// How the load's clients work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Clients, each a user's own.
    pub(super) clients: u32,
    /// Transactions after which a client connects anew.
    pub(super) per_connection: u32,
    /// Time between two transactions.
    pub(super) pause: Duration,
}

impl Load {
    /// Starts it.
    pub(super) fn start(stage: &Stage, pace: Pace) -> Self {
        let (tally, over) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
        let workers = (0..pace.clients)
            .map(|number| {
                let mut config = stage.config();
                let user = format!("load-{number}");
                config.options(format!("-c bulkhead.user={user}"));
                let (tally, over) = (Arc::clone(&tally), Arc::clone(&over));
                tokio::spawn(work(config, user, pace, tally, over))
            })
            .collect();
        Self {
            tally,
            over,
            workers,
        }
    }

    /// Waits until so many more transactions have been done.
    pub(super) async fn goes_on(&self, more: u32) {
        let goal = self.done() + more;
        let patience = Duration::from_secs(30);
        wait::until_within(patience, "the load to go on", || async {
            self.done() >= goal
        })
        .await;
    }

    /// Transactions that were done until now.
    pub(super) fn done(&self) -> u32 {
        self.tally.done.load(Ordering::Relaxed)
    }

    /// Transactions that were not, whenever they had failed; and what was said of the last.
    pub(super) fn failed(&self) -> (u32, String) {
        let failed = self.broken() + self.tally.refused.load(Ordering::Relaxed);
        (failed, self.tally.words.lock().unwrap().clone())
    }

    /// Transactions that had begun and were not done.
    pub(super) fn broken(&self) -> u32 {
        self.tally.broken.load(Ordering::Relaxed)
    }

    /// Ends it. Each client finishes the transaction that it is in.
    pub(super) async fn end(self) -> Arc<Tally> {
        self.over.store(true, Ordering::Relaxed);
        for worker in self.workers {
            wait::within("a client's last transaction", worker)
                .await
                .unwrap();
        }
        self.tally
    }
}

async fn work(config: Config, user: String, pace: Pace, tally: Arc<Tally>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        let session = match connect(&config).await {
            Ok(session) => session,
            Err(error) => {
                tally.refused.fetch_add(1, Ordering::Relaxed);
                *tally.words.lock().unwrap() = format!("login: {error:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        for _ in 0..pace.per_connection {
            if over.load(Ordering::Relaxed) || !one(&session, &user, &tally).await {
                break;
            }
            tokio::time::sleep(pace.pause).await;
        }
        session.close().await;
    }
}

/// One transaction; false when the connection is of no use any more.
async fn one(client: &Client, user: &str, tally: &Tally) -> bool {
    let begun = client.simple_query("BEGIN; SELECT 1").await;
    if let Err(error) = begun {
        tally.refused.fetch_add(1, Ordering::Relaxed);
        *tally.words.lock().unwrap() = format!("beginning: {error:?}");
        return false;
    }
    match rest(client, user).await {
        Ok(()) => {
            tally.done.fetch_add(1, Ordering::Relaxed);
            true
        }
        Err(error) => {
            tally.broken.fetch_add(1, Ordering::Relaxed);
            *tally.words.lock().unwrap() = format!("inside: {error:?}");
            false
        }
    }
}

async fn rest(client: &Client, user: &str) -> Result<(), Error> {
    client
        .execute(
            "INSERT INTO notes (owner, body) VALUES ($1, 'load')",
            &[&user],
        )
        .await?;
    let row = client
        .query_one("SELECT current_setting('app.user_id'), pg_sleep(0.01)", &[])
        .await?;
    assert_eq!(row.get::<_, &str>(0), user);
    client.batch_execute("COMMIT").await
}
