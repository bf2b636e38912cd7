//! Asks the pod where a session lives, on behalf of a client that has come to this one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::super::super::resume::PodAddress;
use super::super::body::Body;
use super::super::front::Front;
use super::super::upgrade::switching;
use super::tls::PeerTls;
use super::{CLIENT, ENTRY, tunnel};
use crate::force::WebSocketForce;
use crate::stream::Stream;
use crate::telemetry::RelayOutcome;

/// How long another pod may take to be reached and to have shaken hands: it is in the same cluster, or it is gone.
const REACH: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

/// The silence after which another pod is asked whether it is there.
const PROBE: Duration = Duration::from_secs(10);
/// How long it may leave that, or bytes, unacknowledged (`TCP_USER_TIMEOUT`, which decides about probes too: `tcp(7)`). One that is alive and
/// takes nothing for so long loses its client as well: the client comes back, and nothing is lost. Measured with all packets to and from the
/// other pod dropped: the client heard of it after 30.6 s, whether it had bytes under way or not.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// What became of a client whose session lives in another pod.
#[derive(Debug)]
pub(in super::super) enum Relayed {
    /// Its answer is the other pod's, and from there on bytes are carried.
    Done(Response<Body>),
    /// The other pod cannot be reached or does not take it: the session is lost, and the client is served here as a new one.
    Unreachable,
}

/// Asks the pod at `pod` what the client has asked, word for word.
pub(in super::super) async fn relay(
    front: &Front,
    force: &WebSocketForce,
    parts: &Parts,
    client: OnUpgrade,
    pod: PodAddress,
) -> Relayed {
    let asked = match (&force.peers, pod) {
        (Some(peers), PodAddress::At(address)) => {
            let request = request(front, force, parts);
            ask(peers, address, request).await
        }
        // It lives where nobody can be asked from here.
        _ => Err(RelayOutcome::Unreachable),
    };
    let outcome = asked.as_ref().err().copied();
    front
        .entry
        .metrics
        .relayed(outcome.unwrap_or(RelayOutcome::Relayed));
    let Ok(mut answer) = asked else {
        front
            .entry
            .metrics
            .clients
            .notice("relay", |upstream, left_out| {
                tracing::warn!(
                    upstream,
                    left_out,
                    ?pod,
                    outcome = outcome.map(RelayOutcome::as_str),
                    "a session of another pod cannot be resumed; its client is served as a new one"
                );
            });
        return Relayed::Unreachable;
    };
    let other = hyper::upgrade::on(&mut answer);
    let response = switching(answer.headers());
    spawn_local(tunnel::run(front.clone(), client, other));
    Relayed::Done(response)
}

/// What the client has asked, with what the other pod cannot know of it.
fn request(front: &Front, force: &WebSocketForce, parts: &Parts) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    request.uri_mut().clone_from(&parts.uri);
    let headers = request.headers_mut();
    headers.clone_from(&parts.headers);
    for (name, text) in [
        (ENTRY, force.name.to_string()),
        (CLIENT, front.peer.to_string()),
    ] {
        // Names of entries and addresses are printable.
        let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        headers.insert(name, value);
    }
    request
}

/// The other pod's answer, where it is a 101.
async fn ask(
    peers: &PeerTls,
    address: SocketAddr,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, RelayOutcome> {
    let stream = match timeout(REACH, reach(peers, address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, %address, "another pod cannot be reached");
            return Err(RelayOutcome::Unreachable);
        }
        Err(_) => return Err(RelayOutcome::Unreachable),
    };
    match timeout(ANSWER, send(stream, request)).await {
        Ok(Ok(answer)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => Ok(answer),
        Ok(Ok(answer)) => {
            let status = answer.status().as_u16();
            tracing::debug!(status, %address, "another pod does not take its client back");
            Err(RelayOutcome::Refused)
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, %address, "another pod gives no answer");
            Err(RelayOutcome::Unreachable)
        }
        Err(_) => Err(RelayOutcome::Silent),
    }
}

async fn reach(peers: &PeerTls, address: SocketAddr) -> io::Result<Stream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    notice_death(&tcp)?;
    let stream = peers.connect(tcp).await?;
    Ok(Stream::TlsClient(Box::new(stream)))
}

/// A pod whose node has died says nothing any more; its client is to hear of it, and come back.
fn notice_death(tcp: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(PROBE)
            .with_interval(PROBE / 2),
    )?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

async fn send(stream: Stream, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = http1::Builder::new()
        .handshake(TokioIo::new(stream))
        .await?;
    spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "another pod has ended an upgrade");
        }
    });
    sender.send_request(request).await
}
