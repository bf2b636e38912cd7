//! Sockets that are open and say nothing.

use std::rc::Rc;
use std::time::Instant;

use tokio::task::LocalSet;

use super::client::{Message, Way};

/// Opens the sockets, says one message on each, tells that they are open, and answers their pings until the process is ended.
pub(crate) async fn hold(way: Way, count: usize) {
    let message = Rc::new(Message::new(125));
    let holding = LocalSet::new();
    for mut socket in way.open_all(count).await {
        socket.say(&message, Instant::now());
        socket.hear(&message, |_| ()).await;
        let message = Rc::clone(&message);
        holding.spawn_local(async move { socket.keep(&message).await });
    }
    println!("{{\"open\": {count}}}");
    holding.await;
}
