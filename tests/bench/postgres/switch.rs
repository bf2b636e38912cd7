//! Clients of an application's own pool: at each checkout they say who they work for, and ask once.

use std::rc::Rc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::LocalSet;

use super::client::{Client, Way, query};
use super::tally::Tally;
use super::window::Window;

const ASKED: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 1";

/// Logs the clients in, has them check out for one of so many users, and measures for a while. With one user nobody is switched to but
/// the one who was there before.
pub(crate) async fn measure(way: Way, clients: usize, users: usize, window: Window) -> Value {
    let tally = Rc::new(Tally::default());
    let said: Rc<[Vec<u8>]> = (0..users)
        .map(|user| query(&format!("SET app.current_user_id = 'user{user}'")))
        .collect();
    let work = LocalSet::new();
    for number in 0..clients {
        let client = way.connect("").await;
        work.spawn_local(check_out(
            client,
            number,
            clients,
            Rc::clone(&said),
            Rc::clone(&tally),
        ));
    }
    let seen = work
        .run_until(window.pass(|begins| tally.set(begins)))
        .await;
    json!({ "checkouts": tally.sum(), "seconds": seen.seconds, "cpu": seen.cpu })
}

/// Each client steps through the users, and no two of them are at the same user at a time where there are as many users as clients.
async fn check_out(
    mut client: Client,
    first: usize,
    step: usize,
    said: Rc<[Vec<u8>]>,
    tally: Rc<Tally>,
) {
    let message = query(ASKED);
    let mut user = first;
    loop {
        let began = Instant::now();
        client.ask(&said[user % said.len()]).await;
        client.ask(&message).await;
        tally.note(began);
        user += step + 1;
    }
}
