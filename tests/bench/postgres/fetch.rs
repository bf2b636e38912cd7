//! Results that are large: rows of a kilobyte, as many as make up the size.

use std::rc::Rc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::LocalSet;

use super::client::{Client, Way, query};
use super::tally::Tally;
use super::window::Window;

/// Bytes of a row's one value.
const ROW: usize = 1000;

/// Logs the clients in, has them fetch, and measures for a while.
pub(crate) async fn measure(way: Way, clients: usize, bytes: usize, window: Window) -> Value {
    let tally = Rc::new(Tally::default());
    let rows = bytes.div_ceil(ROW);
    let message: Rc<[u8]> = query(&format!(
        "SELECT repeat('x', {ROW}) FROM generate_series(1, {rows})"
    ))
    .into();
    let work = LocalSet::new();
    for number in 0..clients {
        let client = way.connect(&format!("user{number}")).await;
        work.spawn_local(fetch(client, Rc::clone(&message), bytes, Rc::clone(&tally)));
    }
    let seen = work
        .run_until(window.pass(|begins| tally.set(begins)))
        .await;
    json!({ "fetches": tally.sum(), "seconds": seen.seconds, "cpu": seen.cpu })
}

async fn fetch(mut client: Client, message: Rc<[u8]>, bytes: usize, tally: Rc<Tally>) {
    loop {
        let began = Instant::now();
        let came = client.ask(&message).await;
        assert!(came >= bytes, "{came} bytes have come of {bytes}");
        tally.note(began);
    }
}
