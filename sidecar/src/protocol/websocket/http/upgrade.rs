//! A request for a WebSocket, up to the moment at which both sides have upgraded.

use std::rc::Rc;

use bulkhead_crds::kinds::SlowConsumer;
use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::super::handshake::{
    Accepted, Offer, Refusal, check_answer, offered_extensions, without_hop_by_hop,
};
use super::super::seat::Seat;
use super::super::upgraded::{Resumes, Upgraded};
use super::super::user::Ousted;
use super::body::{Body, Passed};
use super::caller::{Caller, caller, keep_seat};
use super::front::Front;
use super::introduce::introduce;
use super::peers::{Relayed, elsewhere, relay};
use super::returning;
use crate::attribution::of_rejection;
use crate::force::WebSocketForce;
use crate::identity::UserContext;
use crate::stream::Stream;
use crate::telemetry::{Attribution, ConnectionOutcome, TimeoutKind};
use crate::worker::kills::Moment;
use crate::worker::mailbox::Letter;

/// What the application is asked, and what its answer is checked against.
struct Question {
    request: Request<Empty<Bytes>>,
    key: HeaderValue,
    offer: Offer,
    compresses: bool,
}

/// Answers a request for a WebSocket: with the application's own answer, or a refusal.
///
/// # Errors
/// Why there is no WebSocket.
pub(super) async fn upgrade(
    front: &Front,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let force = front.entry.force();
    let client = hyper::upgrade::on(&mut request);
    let (mut parts, _) = request.into_parts();
    refuse_while_leaving(front)?;
    check_path(&force, &parts.uri)?;
    let presented = front.worker.process.kills.now();
    let offer = Offer::of(&parts.headers, force.settings.offers_resume());
    let token = offer.as_ref().ok();
    let token = token.and_then(|offer| returning::asked_for(&force, offer));
    if let Some(pod) = token.as_ref().and_then(|token| elsewhere(front, token))
        && let Relayed::Done(answer) = relay(front, &force, &parts, client.clone(), pod).await
    {
        return Ok(answer);
    }
    let caller = identified(front, &force, &mut parts).await?;
    let offer = offer?;
    let mut lost = None;
    if let Some(returning) = offer.returning() {
        let context = caller.context.as_ref();
        match returning::find(front, &force, &offer, token.as_ref(), context).await {
            Ok(found) => return found.come_back(front, &parts, returning, client),
            Err(gone) => lost = Some(gone),
        }
    }
    let mut seat = match &caller.context {
        Some(context) => Some(keep_seat(front, &force, context.user_id(), &presented).await?),
        None => None,
    };
    let socket = seat.as_ref().and_then(Seat::socket);
    let question = question(front, &force, parts, offer, caller.context.as_ref(), socket)?;
    let answered = async {
        let stream = reached(front, &force).await?;
        asked(front, &force, stream, question).await
    };
    let context = caller.context.as_ref();
    let answered = unless_revoked(front, context, answered);
    let (mut answer, accepted) = match unless_ousted(seat.as_mut(), &force, answered).await? {
        (answer, Some(accepted)) => (answer, accepted),
        // The application's own refusal is the client's answer.
        (answer, None) => return Ok(answer.map(Passed).map(Either::Left)),
    };
    let application = hyper::upgrade::on(&mut answer);
    let response = told(&answer, &accepted);
    let told = accepted.choice.told().filter(|_| accepted.choice.resumes);
    let ends = Ends {
        presented,
        client,
        application,
        deflates: accepted.compressed.0,
        resumes: told.map(|told| Resumes {
            protocol: told.to_owned(),
            lost,
        }),
    };
    spawn_local(hand_over(front.clone(), force, ends, caller, seat));
    Ok(response)
}

/// What `work` comes to, unless the socket loses its place meanwhile.
async fn unless_ousted<T>(
    seat: Option<&mut Seat>,
    force: &WebSocketForce,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let Some(seat) = seat else {
        return work.await;
    };
    tokio::select! {
        biased;
        done = work => done,
        why = seat.ousted() => Err(match why {
            Ousted::ByNewer => Refusal::GaveWay(force.name_setting("limits.connectionsPerUser")),
            Ousted::Killed => Refusal::Killed,
        }),
    }
}

/// What `work` comes to, unless the user is cut off meanwhile: it waits for the application, which may take its time to start.
async fn unless_revoked<T>(
    front: &Front,
    context: Option<&UserContext>,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let Some(context) = context else {
        return work.await;
    };
    let revocations = &front.worker.process.revocations;
    let mut changes = revocations.changes();
    let revoked = async {
        loop {
            if let Some(rejection) = revocations.refusal_of(context) {
                return rejection;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        biased;
        rejection = revoked => Err(Refusal::Identity(Box::new(rejection))),
        done = work => done,
    }
}

fn refuse_while_leaving(front: &Front) -> Result<(), Refusal> {
    if *front.worker.leaving.borrow() {
        return Err(Refusal::Draining);
    }
    Ok(())
}

/// Without a list, every path is taken; the application knows which ones it has.
fn check_path(force: &WebSocketForce, uri: &Uri) -> Result<(), Refusal> {
    let paths = &force.settings.paths;
    if paths.is_empty()
        || paths
            .iter()
            .any(|prefix| uri.path().starts_with(prefix.as_str()))
    {
        return Ok(());
    }
    Err(Refusal::Path)
}

/// Who asks, as the policy judges it.
async fn identified(
    front: &Front,
    force: &WebSocketForce,
    parts: &mut Parts,
) -> Result<Caller, Refusal> {
    let caller = caller(front, force, parts).await?;
    caller.check_origin(front, force, parts)?;
    let caller = caller.or_refused(force)?;
    front.record(force, caller.owner())?;
    if let Some(rejection) = &caller.rejection {
        let metrics = &front.worker.process.metrics;
        metrics.identity_rejection(rejection.reason);
        metrics.unattributed_socket();
    }
    if !force.enforces() {
        count(front, &caller);
    }
    Ok(caller)
}

/// Counts a socket in the inventory, which knows no application of sockets: a browser's `User-Agent` and origin name none.
fn count(front: &Front, caller: &Caller) {
    let claim = of_rejection(caller.rejection.as_ref());
    let attribution = match &caller.context {
        Some(_) => Attribution::Verified,
        None => claim.unwrap_or(Attribution::Unattributed),
    };
    front.worker.process.metrics.socket_attributed(attribution);
}

/// What the application is asked: what the client has asked, and who it is.
fn question(
    front: &Front,
    force: &WebSocketForce,
    mut parts: Parts,
    offer: Offer,
    context: Option<&UserContext>,
    socket: Option<&str>,
) -> Result<Question, Refusal> {
    let headers = &mut parts.headers;
    let key = headers.get(SEC_WEBSOCKET_KEY).cloned();
    let key = key.ok_or(Refusal::Malformed("the request has no Sec-WebSocket-Key"))?;
    let settings = &force.settings;
    let is_read = settings.validate_utf8
        || !settings.critical_events.is_empty()
        || settings.slow_consumer == SlowConsumer::Drop;
    // What is to be sent again must not depend on what was sent before it.
    let is_read = is_read || offer.offers_resume();
    let compresses = offered_extensions(headers, settings.compression, is_read);
    offer.tell_application(headers);
    introduce(front, force, &mut parts, context, socket);
    name_upgrade(&mut parts.headers);
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = parts
        .uri
        .path_and_query()
        .map_or_else(Uri::default, |path| path.clone().into());
    *request.headers_mut() = parts.headers;
    Ok(Question {
        request,
        key,
        offer,
        compresses,
    })
}

/// A connection to the application, held while it starts.
async fn reached(front: &Front, force: &WebSocketForce) -> Result<TcpStream, Refusal> {
    let deadline = Instant::now() + force.settings.cold_start;
    let stream = front.entry.application().dial(deadline).await;
    stream.map_err(|_| {
        front.entry.timed_out(TimeoutKind::ColdStart, None);
        Refusal::Starting(force.name_setting("timeouts.coldStart"))
    })
}

/// The application's answer, checked where it is a 101.
async fn asked(
    front: &Front,
    force: &WebSocketForce,
    stream: TcpStream,
    question: Question,
) -> Result<(Response<Incoming>, Option<Accepted>), Refusal> {
    let application = front.entry.application();
    let asking = application.upgrade(stream, question.request);
    let answer = match timeout(force.settings.handshake, asking).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::debug!(%error, upstream = &*force.name, "the application gives no answer");
            return Err(Refusal::BadAnswer("the connection ended before it"));
        }
        Err(_) => {
            front.entry.timed_out(TimeoutKind::Handshake, None);
            return Err(Refusal::Silent(force.name_setting("timeouts.handshake")));
        }
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        front
            .entry
            .metrics
            .clients
            .connection(ConnectionOutcome::Unavailable);
        let mut answer = answer;
        without_hop_by_hop(answer.headers_mut());
        return Ok((answer, None));
    }
    let compresses = question.compresses;
    let accepted = check_answer(answer.headers(), &question.key, &question.offer, compresses)?;
    Ok((answer, Some(accepted)))
}

/// What a request for a WebSocket and the answer that grants it have in common.
fn name_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// The application's 101, as the client gets it.
fn told(answer: &Response<Incoming>, accepted: &Accepted) -> Response<Body> {
    let mut response = switching(answer.headers());
    accepted.choice.tell_client(response.headers_mut());
    response
}

/// Somebody else's 101, on this hop.
pub(super) fn switching(of: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Either::Right(http_body_util::Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.clone_from(of);
    without_hop_by_hop(headers);
    name_upgrade(headers);
    response
}

/// Both ends of a WebSocket in the making.
struct Ends {
    /// When the client said who it is.
    presented: Moment,
    client: OnUpgrade,
    application: OnUpgrade,
    deflates: bool,
    resumes: Option<Resumes>,
}

/// Takes both sockets out of hyper's hands, and gives them to the worker of the user.
async fn hand_over(
    front: Front,
    force: std::sync::Arc<WebSocketForce>,
    ends: Ends,
    caller: Caller,
    seat: Option<Seat>,
) {
    let both = async { tokio::try_join!(ends.client, ends.application) };
    let Ok(Ok((client, application))) = timeout(force.settings.handshake, both).await else {
        front
            .entry
            .metrics
            .clients
            .connection(ConnectionOutcome::Abandoned);
        return;
    };
    let (Ok(client), Ok(application)) = (
        downcast::<TokioIo<Stream>>(client),
        application.downcast::<TokioIo<TcpStream>>(),
    ) else {
        // Both were made of these here.
        tracing::error!("an upgraded connection is not the socket that it was made of");
        return;
    };
    let outcome = match caller.context {
        Some(_) => ConnectionOutcome::Accepted,
        None => ConnectionOutcome::Unattributed,
    };
    front.entry.metrics.clients.connection(outcome);
    let home = seat.as_ref().map_or(front.worker.index, Seat::home);
    let upgraded = Box::new(Upgraded {
        entry: force.name.clone(),
        seat,
        context: caller.context,
        presented: ends.presented,
        client: client.io.into_inner(),
        client_early: client.read_buf,
        application: Stream::Tcp(application.io.into_inner()),
        application_early: application.read_buf,
        deflates: ends.deflates,
        resumes: ends.resumes,
    });
    if home == front.worker.index {
        Rc::clone(&front.worker).take_socket(upgraded);
    } else {
        front.worker.process.send(home, Letter::Socket(upgraded));
    }
}
