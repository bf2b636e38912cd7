//! Answers in the two forms that are spoken here, text and JSON.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A whole answer.
pub(super) type Reply = Response<Full<Bytes>>;

pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Reply {
    let mut line = text.into();
    line.push('\n');
    of(status, "text/plain; charset=utf-8", line.into())
}

pub(super) fn json(value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => of(StatusCode::OK, "application/json", body.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

pub(super) fn of(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A key set (RFC 7517, section 8.5.2). Whoever keeps it asks again before each use: a key that was turned is seen at once.
pub(super) fn key_set(keys: String) -> Reply {
    let mut reply = of(StatusCode::OK, "application/jwk-set+json", keys.into());
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

pub(super) fn not_found(known: &str) -> Reply {
    text(
        StatusCode::NOT_FOUND,
        format!("not found; there is {known}"),
    )
}
