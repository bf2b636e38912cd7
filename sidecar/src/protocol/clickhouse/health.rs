//! What is answered for anybody: `/ping`, `/replicas_status` and the greeting at `/`, by the upstream itself and without credentials.
//!
//! Each goes on a connection of its own, which counts against nobody's limit; so few at one time that a storm of them is nobody's trouble.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use hyper::body::Body;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::body::{Answer, Cut, Relayed, end, says_nothing};
use super::error::{Code, Exception};
use super::parameters::Parameters;
use super::query::relayed;
use super::rewrite;
use super::wire::Exchange;
use crate::telemetry::TimeoutKind;
use crate::worker::Entry;

/// Asks the upstream, within `timeouts.connect`.
///
/// # Errors
/// It cannot be reached, or its breaker is open.
pub(super) async fn pass_on(
    entry: &Rc<Entry>,
    parts: &Parts,
    parameters: &Parameters,
) -> Result<Response<Answer>, Exception> {
    let force = entry.force();
    entry.look_at_breaker(&force).map_err(|broken| {
        Exception::new(Code::AllConnectionTriesFailed, broken.to_string()).retry_after(broken.after)
    })?;
    let deadline = Instant::now() + force.settings.timeouts.connect;
    let too_late = || {
        let setting = force.name_timeout(TimeoutKind::Connect);
        let message = format!("{}: no answer within {setting}", force.connector.endpoint());
        Exception::new(Code::SocketTimeout, message)
    };
    let path = match parts.uri.path() {
        "/ping" => "/ping",
        "/replicas_status" => "/replicas_status",
        _ => "/",
    };
    let mut kept = Parameters::default();
    if let Some(verbose) = parameters.first("verbose") {
        kept.push("verbose", verbose);
    }
    let authority = force.connector.endpoint().place();
    let head = rewrite::forward(&parts.method, path, &kept, &parts.headers, &authority)?;
    let turns = Arc::clone(&entry.health_turns);
    let turn = timeout_at(deadline, turns.acquire_owned()).await;
    let turn = turn.map_err(|_| too_late())?;
    let opened = force.connector.open(deadline).await;
    let mut stream = opened
        .map_err(|error| Exception::new(Code::NetworkError, error.to_string()))?
        .stream;
    let (reply, answer) = tokio::sync::oneshot::channel();
    let request = head.map(|()| Full::new(Bytes::new()));
    spawn_local(async move {
        let exchange = async {
            let mut exchange = Exchange::begin(&mut stream).await?;
            let (head, mut body) = exchange.head(request).await?.into_parts();
            let (pieces, relay) = Relayed::new(&body.size_hint());
            // Whoever asked has gone: nothing is passed on then.
            let _ = reply.send(Response::from_parts(head, relay));
            while let Some(piece) = exchange.piece(&mut body).await {
                if piece.as_ref().is_ok_and(says_nothing) {
                    continue;
                }
                if pieces.send(piece.map_err(|_| Cut)).await.is_err() {
                    return Ok(());
                }
            }
            let _ = pieces.send(end()).await;
            Ok::<_, hyper::Error>(())
        };
        if let Ok(Err(error)) = timeout_at(deadline, exchange).await {
            tracing::debug!(%error, "a question after the upstream's health has no answer");
        }
        drop(turn);
    });
    let mut response = match timeout_at(deadline, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            let endpoint = force.connector.endpoint();
            let message = format!("{endpoint}: the connection was lost before it had an answer");
            return Err(Exception::new(Code::NetworkError, message));
        }
        Err(_) => return Err(too_late()),
    };
    rewrite::pass_back(response.headers_mut());
    Ok(relayed(response))
}
