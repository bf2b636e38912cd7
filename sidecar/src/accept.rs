//! Where clients come in: a listener an entry (or several databases at one address), accepted from by every worker.
//!
//! What a client says first is read on the worker that accepted it, by the protocol of its entry; then it moves to the worker of its user.

mod allowed;
mod listener;
mod socket;

use std::rc::Rc;
use std::time::Duration;

use bulkhead_crds::kinds::Protocol;
use tokio::task::spawn_local;

pub(crate) use allowed::{PeerUid, lets_in, peer_uid, uid_refused};
use listener::{Accepting, Traffic};
pub use listener::{ListenError, Listener, Listeners, PeerListenError};
pub use socket::SocketFile;

use crate::protocol::clickhouse;
use crate::protocol::postgres::arrival;
use crate::protocol::redis;
use crate::protocol::websocket::http;
use crate::stream::Stream;
use crate::worker::{Entry, Worker};

/// How long a worker waits when the operating system gives no more sockets.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(50);

/// Accepts clients: those of databases until the worker drains, those of the application as long as it lives, because requests that are
/// no WebSockets are served to the end, and other pods as long, because they are to be told that this one goes.
pub async fn serve(worker: Rc<Worker>, listener: Listener) {
    let (names, traffic) = (listener.entries.clone(), listener.traffic);
    let upstream = names.join(", ");
    let socket = match listener.into_accepting() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, upstream, "a worker cannot accept");
            return;
        }
    };
    match traffic {
        Traffic::Database(protocol) => {
            let named = names.iter().filter_map(|name| worker.entry(name));
            let entries: Rc<[Rc<Entry>]> = named.collect();
            let mut draining = worker.draining.subscribe();
            let accepting = accept(&socket, &upstream, |stream| {
                welcome(protocol, &worker, &entries, stream);
            });
            tokio::select! {
                biased;
                _ = draining.wait_for(|draining| *draining) => {}
                () = accepting => {}
            }
        }
        Traffic::WebSocket => {
            let named = names.first().and_then(|name| worker.socket_entry(name));
            let Some(entry) = named else { return };
            accept(&socket, &upstream, |stream| {
                if let Stream::Tcp(tcp) = stream {
                    spawn_local(http::serve(Rc::clone(&worker), Rc::clone(&entry), tcp));
                }
            })
            .await;
        }
        Traffic::Peers => {
            accept(&socket, "other pods", |stream| {
                if let Stream::Tcp(tcp) = stream {
                    spawn_local(http::serve_peer(Rc::clone(&worker), tcp));
                }
            })
            .await;
        }
    }
}

/// Has a client of a database served by the protocol of its listener's entries.
fn welcome(protocol: Protocol, worker: &Rc<Worker>, entries: &Rc<[Rc<Entry>]>, stream: Stream) {
    if let Stream::Tcp(tcp) = &stream
        && let Err(error) = tcp.set_nodelay(true)
    {
        tracing::debug!(%error, "a client's socket has gone");
        return;
    }
    let (worker, entries) = (Rc::clone(worker), Rc::clone(entries));
    match protocol {
        Protocol::PostgreSQL => {
            spawn_local(arrival::welcome(worker, entries, stream));
        }
        Protocol::Redis => {
            spawn_local(redis::welcome(worker, entries, stream));
        }
        Protocol::ClickHouse => {
            spawn_local(clickhouse::welcome(worker, entries, stream));
        }
    }
}

async fn accept(socket: &Accepting, upstream: &str, welcome: impl Fn(Stream)) {
    loop {
        match socket.accept().await {
            Ok(stream) => welcome(stream),
            Err(error) => {
                tracing::warn!(%error, upstream, "a client could not be accepted");
                tokio::time::sleep(OUT_OF_SOCKETS).await;
            }
        }
    }
}
