//! Where other pods come in, on behalf of clients whose sessions live here.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::super::entry::SocketEntry;
use super::super::super::handshake::{Offer, Refusal};
use super::super::body::{Body, own};
use super::super::front::{Front, answer, speak};
use super::super::returning::asked_for;
use super::{CLIENT, ENTRY};
use crate::stream::Stream;
use crate::worker::Worker;

/// How long another pod may take to shake hands, and then to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves one connection of another pod to its end, or to the moment at which it is a WebSocket.
pub async fn serve(worker: Rc<Worker>, tcp: TcpStream) {
    let entries = worker.socket_entries();
    let known = entries
        .iter()
        .find_map(|entry| entry.force_now().peers.clone());
    // Nothing has been issued yet: nobody can be told from anybody.
    let Some(peers) = known else { return };
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "another pod's socket has gone");
        return;
    }
    let stream = match timeout(PATIENCE, peers.accept(tcp)).await {
        Ok(Ok(stream)) => Stream::TlsServer(Box::new(stream)),
        Ok(Err(error)) => {
            tell_refused(&entries, &error);
            return;
        }
        Err(_) => return,
    };
    speak(&worker, stream, PATIENCE, |request| {
        let worker = Rc::clone(&worker);
        async move { admit(&worker, request).await }
    })
    .await;
}

/// Told now and then: whoever scans ports is here too.
fn tell_refused(entries: &[Rc<SocketEntry>], error: &io::Error) {
    let Some(first) = entries.first() else { return };
    first.metrics.clients.notice("peer", |_, left_out| {
        tracing::warn!(
            %error, left_out,
            "somebody who is no pod of this namespace is refused at the port for other pods"
        );
    });
}

/// What a request gets: what any client of its entry would, if the session that it asks for is this pod's.
async fn admit(worker: &Rc<Worker>, mut request: Request<Incoming>) -> Response<Body> {
    let Some(front) = front(worker, request.headers()) else {
        return own(Refusal::Misdirected.response());
    };
    let headers = request.headers_mut();
    headers.remove(ENTRY);
    headers.remove(CLIENT);
    answer(&front, request).await
}

/// The client as it stands before the other pod.
fn front(worker: &Rc<Worker>, headers: &HeaderMap) -> Option<Front> {
    let said = |name| headers.get(name)?.to_str().ok();
    let entry = worker.socket_entry(said(ENTRY)?)?;
    let peer: IpAddr = said(CLIENT)?.parse().ok()?;
    let force = entry.force();
    let offer = Offer::of(headers, force.settings.offers_resume()).ok()?;
    let token = asked_for(&force, &offer)?;
    (token.pod == worker.process.pod()).then(|| Front::new(Rc::clone(worker), entry, peer))
}
