//! Thousands of users, each with a client of their own that asks again as soon as it has been answered; and one more, who asks now and then.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::LocalSet;

use super::client::{Client, Way, query};
use super::tally::Tally;
use super::window::Window;

const ASKED: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 1";
/// Between two questions of the quiet user.
const PAUSE: Duration = Duration::from_millis(10);
/// Sessions that PostgreSQL has begun in this database since its statistics were reset.
const SESSIONS: &str = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()";

/// Logs all users in, has them work, and measures for a while.
pub(crate) async fn measure(way: Way, users: usize, server: u16, window: Window) -> Value {
    let (busy, quiet) = (Rc::new(Tally::default()), Rc::new(Tally::default()));
    let work = LocalSet::new();
    for user in 0..users {
        let client = way.connect(&format!("user{user}")).await;
        work.spawn_local(ask(client, Duration::ZERO, Rc::clone(&busy)));
    }
    let client = way.connect("quiet").await;
    work.spawn_local(ask(client, PAUSE, Rc::clone(&quiet)));
    let mut counter = Way::direct(server).connect("").await;
    let sessions = query(SESSIONS);
    counter.ask(&sessions).await;
    let (before, began) = (counter.number(), Instant::now());
    let passed = window.pass(|begins| {
        busy.set(begins);
        quiet.set(begins);
    });
    let seen = work.run_until(passed).await;
    let whole = began.elapsed().as_secs_f64();
    counter.ask(&sessions).await;
    let connects = (counter.number() - before) as f64 / whole;
    json!({
        "busy": busy.sum(), "quiet": quiet.sum(), "connects": connects, "seconds": seen.seconds, "cpu": seen.cpu,
    })
}

/// Asks for ever.
async fn ask(mut client: Client, pause: Duration, tally: Rc<Tally>) {
    let message = query(ASKED);
    loop {
        let began = Instant::now();
        client.ask(&message).await;
        tally.note(began);
        if pause > Duration::ZERO {
            tokio::time::sleep(pause).await;
        }
    }
}
