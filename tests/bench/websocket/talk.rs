//! Messages over sockets that stay open.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::LocalSet;

use super::client::{Message, Socket, Way};
use super::window::Window;

/// What is said by how many.
pub(crate) struct Load {
    pub(crate) sockets: usize,
    /// Bytes of a message.
    pub(crate) bytes: usize,
    /// Messages of one socket that are under way at a time.
    pub(crate) flight: usize,
}

/// What the window has seen of messages.
#[derive(Default)]
struct Tally {
    counts: Cell<bool>,
    micros: RefCell<Vec<f32>>,
}

/// Opens the sockets, has them talk, and measures for a while.
pub(crate) async fn measure(way: Way, load: Load, window: Window) -> Value {
    let tally = Rc::new(Tally::default());
    let message = Rc::new(Message::new(load.bytes));
    let talks = LocalSet::new();
    for socket in way.open_all(load.sockets).await {
        let talk = talk(socket, load.flight, Rc::clone(&message), Rc::clone(&tally));
        talks.spawn_local(talk);
    }
    let seen = talks
        .run_until(window.pass(|begins| tally.counts.set(begins)))
        .await;
    let mut micros = tally.micros.take();
    micros.sort_unstable_by(f32::total_cmp);
    let at = |part: f64| micros[((micros.len() - 1) as f64 * part) as usize];
    json!({
        "messages": micros.len(), "seconds": seen.seconds, "cpu": seen.cpu, "p50": at(0.5), "p99": at(0.99),
    })
}

/// Says as much again as has come back, for ever.
async fn talk(mut socket: Socket, flight: usize, message: Rc<Message>, tally: Rc<Tally>) {
    let mut more = flight;
    loop {
        let now = Instant::now();
        for _ in 0..more {
            socket.say(&message, now);
        }
        let tell = |took: Duration| {
            if tally.counts.get() {
                tally.micros.borrow_mut().push(took.as_secs_f32() * 1e6);
            }
        };
        more = socket.hear(&message, tell).await;
    }
}
