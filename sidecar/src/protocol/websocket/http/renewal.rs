//! A fresh token for sockets that are open: a POST to `webSockets[].tokenPath`, which never reaches the application.
//!
//! It may have come to another pod than the socket did. The answer says how many sockets there were, so that a client that reads `0` knows
//! to connect anew instead.

use std::time::UNIX_EPOCH;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

use super::super::handshake::{
    Refusal, admits_origin, find_token, let_post, let_read, renewal_places,
};
use super::body::{Body, own};
use super::caller::Caller;
use super::front::{Front, refuse};
use crate::force::WebSocketForce;
use crate::identity::UserContext;
use crate::telemetry::RenewalOutcome;
use crate::worker::mailbox::Letter;

/// What a client learns.
#[derive(Debug, Serialize)]
struct Renewed {
    /// Sockets of this user's login in this pod that live by the token from now on.
    renewed: usize,
    /// When the token ends, the policy's leeway included, in seconds since 1970; null: never.
    expires: Option<u64>,
}

/// Whether a request asks for this.
pub(super) fn is_asked(front: &Front, parts: &Parts) -> bool {
    let force = front.entry.force_now();
    force.settings.token_path.as_deref() == Some(parts.uri.path())
}

/// What it is answered.
pub(super) async fn answer(front: &Front, mut parts: Parts) -> Response<Body> {
    let force = front.entry.force();
    let asked = parts.headers.clone();
    let answered = match parts.method {
        Method::OPTIONS => allowed(&force, &asked),
        Method::POST => renewed(front, &force, &mut parts).await,
        _ => Err(Refusal::Method),
    };
    let is_open = !matches!(answered, Err(Refusal::Origin));
    let mut response = answered.unwrap_or_else(|refusal| {
        front.entry.metrics.renewal(RenewalOutcome::Refused);
        refuse(front, &refusal)
    });
    if is_open {
        let allowed = force.settings.allowed_origins.as_deref();
        let_read(response.headers_mut(), &asked, allowed);
    }
    response
}

/// A browser asks whether a page may send the request.
fn allowed(force: &WebSocketForce, asked: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let settings = &force.settings;
    let admitted = admits_origin(asked, settings.allowed_origins.as_deref(), false);
    if force.enforces() && !admitted {
        return Err(Refusal::Origin);
    }
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let_post(response.headers_mut(), &renewal_places(&settings.tokens));
    Ok(own(response))
}

async fn renewed(
    front: &Front,
    force: &WebSocketForce,
    parts: &mut Parts,
) -> Result<Response<Body>, Refusal> {
    let fresh = fresh(front, force, parts).await?;
    let expires = fresh.expires_at().map(|end| {
        let since = end.duration_since(UNIX_EPOCH);
        since.unwrap_or_default().as_secs()
    });
    let renewed = at_home(front, force, fresh).await;
    front.entry.metrics.renewal(match renewed {
        0 => RenewalOutcome::NoSocket,
        _ => RenewalOutcome::Renewed,
    });
    // Numbers are JSON always.
    let told = serde_json::to_string(&Renewed { renewed, expires }).unwrap_or_default();
    let mut response = Response::new(format!("{told}\n"));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(own(response))
}

/// Whom the request's token names. Whatever the policy's mode, nobody's sockets are renewed by no token.
async fn fresh(
    front: &Front,
    force: &WebSocketForce,
    parts: &mut Parts,
) -> Result<UserContext, Refusal> {
    let found = find_token(parts, &renewal_places(&force.settings.tokens))?;
    let presented = force.presented(found.as_ref().map(|found| found.text.as_str()));
    // A context token counts to its end here, not as long as the socket lives that it was made for: that would live by itself.
    let verified = force.verifier.verify(&presented).await;
    let caller = Caller::found(found.as_ref(), verified);
    caller.check_origin(front, force, parts)?;
    caller.named()
}

/// The sockets of the user's login, on the worker where they live.
async fn at_home(front: &Front, force: &WebSocketForce, fresh: UserContext) -> usize {
    let home = fresh.user_id().home(front.worker.process.workers());
    let renewed = front.ask(
        home,
        fresh,
        |worker, fresh| worker.renew_sockets(&force.name, &fresh),
        |fresh, reply| Letter::Renew {
            entry: force.name.clone(),
            fresh,
            reply,
        },
    );
    renewed.await.unwrap_or(0)
}
