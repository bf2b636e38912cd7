//! Sockets that are opened, used once and closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::LocalSet;

use super::client::{Message, Way};
use super::window::Window;

/// Has so many clients come and go at a time, and measures for a while.
pub(crate) async fn measure(way: Way, at_once: usize, window: Window) -> Value {
    let counts = Rc::new(Cell::new(false));
    let micros: Rc<RefCell<Vec<f64>>> = Rc::default();
    let clients = LocalSet::new();
    for client in 0..at_once {
        let (way, counts, micros) = (way.clone(), Rc::clone(&counts), Rc::clone(&micros));
        clients.spawn_local(async move {
            let message = Message::new(125);
            for number in (client..).step_by(at_once) {
                let begun = Instant::now();
                let mut socket = way.open(number).await;
                if counts.get() {
                    micros
                        .borrow_mut()
                        .push(begun.elapsed().as_secs_f64() * 1e6);
                }
                socket.say(&message, Instant::now());
                socket.hear(&message, |_| ()).await;
                socket.close().await;
            }
        });
    }
    let seen = clients
        .run_until(window.pass(|begins| counts.set(begins)))
        .await;
    let mut micros = micros.take();
    micros.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| micros[((micros.len() - 1) as f64 * part) as usize];
    json!({
        "opened": micros.len(), "seconds": seen.seconds, "cpu": seen.cpu, "p50": at(0.5), "p99": at(0.99),
    })
}
