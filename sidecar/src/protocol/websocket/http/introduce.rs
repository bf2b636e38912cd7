//! A request made ready for the application, whether it is to become a WebSocket or not.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Version};

use super::super::handshake::{Identity, tell_application, without_hop_by_hop};
use super::front::Front;
use crate::force::WebSocketForce;
use crate::identity::UserContext;

/// Takes away what concerned the client's hop alone, and tells the application who the request is for and where it comes from. The context
/// is signed for the socket `socket`, where there is one.
pub(super) fn introduce(
    front: &Front,
    force: &WebSocketForce,
    parts: &mut Parts,
    context: Option<&UserContext>,
    socket: Option<&str>,
) {
    let headers = &mut parts.headers;
    without_hop_by_hop(headers);
    let authority = parts.uri.authority();
    let host = authority.and_then(|it| HeaderValue::from_str(it.as_str()).ok());
    if parts.version != Version::HTTP_2
        && let Some(host) = &host
    {
        // An address in absolute form overrides the Host header (RFC 9112, section 3.2.2). HTTP/2 has it in `:authority`, which passes as it is.
        headers.insert(HOST, host.clone());
    }
    let token = context.and_then(|context| force.issue(context, socket));
    let identity = context.map(|context| Identity {
        context,
        token: token.as_deref(),
    });
    tell_application(headers, front.peer, host, identity);
}
