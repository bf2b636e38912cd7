//! Bodies: the peer's, passed on as they come, or a few words of our own.

use bytes::Bytes;
use http::Response;
use http_body_util::{Either, Full};
use hyper::body::Incoming;

/// What the client is sent.
pub(super) type Body = Either<Incoming, Full<Bytes>>;

/// An answer of our own.
pub(super) fn own(response: Response<String>) -> Response<Body> {
    response.map(|text| Either::Right(Full::new(text.into())))
}
