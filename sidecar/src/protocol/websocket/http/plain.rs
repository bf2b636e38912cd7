//! Requests that are no WebSockets: passed on as they come, streamed both ways, and told who they are for.

use bulkhead_crds::kinds::PlainHttp;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use http_body_util::Either;
use hyper::body::Incoming;

use super::super::handshake::{
    Refusal, is_named_preflight, without_hop_by_hop, without_our_protocols,
};
use super::application::Unanswered;
use super::body::{Body, Passed};
use super::caller::caller;
use super::front::Front;
use super::introduce::introduce;
use crate::force::WebSocketForce;
use crate::identity::UserContext;

/// Passes a request on and its answer back.
///
/// # Errors
/// The policy requires a user and there is none, or the application gives no answer.
pub(super) async fn pass_on(
    front: &Front,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let force = front.entry.force();
    let request = prepared(front, &force, request).await?;
    let application = front.entry.application();
    let answer = if request.version() == Version::HTTP_2 {
        application.send_http2(request).await
    } else {
        application.send(request).await
    };
    let mut answer = answer.map_err(|unanswered| refusal(&force, unanswered))?;
    without_hop_by_hop(answer.headers_mut());
    Ok(answer.map(Passed).map(Either::Left))
}

/// The request as the application gets it.
async fn prepared(
    front: &Front,
    force: &WebSocketForce,
    request: Request<Incoming>,
) -> Result<Request<Passed>, Refusal> {
    let (mut parts, body) = request.into_parts();
    let context = context(front, force, &mut parts).await?;
    without_our_protocols(&mut parts.headers);
    introduce(front, force, &mut parts, context.as_ref(), None);
    let http2 = parts.version == Version::HTTP_2;
    let asked = parts.uri.authority().filter(|_| http2).cloned();
    parts.uri = address(&parts.uri, asked)?;
    if !http2 {
        parts.version = Version::HTTP_11;
    }
    Ok(Request::from_parts(parts, Passed(body)))
}

/// For whom the request is, as far as the policy asks.
async fn context(
    front: &Front,
    force: &WebSocketForce,
    parts: &mut Parts,
) -> Result<Option<UserContext>, Refusal> {
    match force.settings.plain_http {
        PlainHttp::Ignore => Ok(None),
        // Two cookies of one name are nobody, and a request that the application may answer all the same.
        PlainHttp::Attach => {
            let Ok(caller) = caller(front, force, parts).await else {
                return Ok(None);
            };
            if caller.context.is_some() {
                front.record(force, caller.owner())?;
            }
            Ok(caller.context)
        }
        PlainHttp::Require => {
            let allowed = force.settings.allowed_origins.as_deref();
            let is_preflight = is_named_preflight(parts, allowed);
            let caller = caller(front, force, parts).await?;
            if is_preflight {
                return Ok(caller.context);
            }
            caller.check_origin(front, force, parts)?;
            let caller = caller.or_refused(force)?;
            front.record(force, caller.owner())?;
            Ok(caller.context)
        }
    }
}

/// The address within the application. Connections are kept by authority, and there is one application.
fn address(uri: &Uri, authority: Option<Authority>) -> Result<Uri, Refusal> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = authority.or_else(|| Some(Authority::from_static("application")));
    let path = uri.path_and_query().cloned();
    parts.path_and_query = path.or_else(|| Some(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|_| Refusal::Malformed("the request's address is none"))
}

fn refusal(force: &WebSocketForce, unanswered: Unanswered) -> Refusal {
    match unanswered {
        Unanswered::Unreachable(error) => {
            tracing::debug!(%error, upstream = &*force.name, "the application does not accept");
            Refusal::Unreachable
        }
        Unanswered::Broken(error) => {
            tracing::debug!(
                error,
                upstream = &*force.name,
                "the application gives no answer"
            );
            Refusal::BadAnswer("the connection ended before it")
        }
    }
}
