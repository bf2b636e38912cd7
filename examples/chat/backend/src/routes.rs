//! The HTTP API.
//!
//! ```text
//! GET  /messages           the user's messages                  x-chat-user: ID
//! POST /messages           stores the body as a message         x-chat-user: ID
//! GET  /report?seconds=N   a statement that takes N seconds     x-chat-user: ID
//! GET  /room               the chat room, a WebSocket          x-bulkhead-user: ID, from the sidecar
//! GET  /                   the page of the room
//! GET  /healthz            whether this process answers; a database that is away is no reason to restart it
//! ```
//!
//! Who the user is, a real backend learns from a session or a token. This one is told by its front end.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::page;
use crate::{Database, Failure, Room, Who};

/// Bytes of a message.
const LONGEST_MESSAGE: usize = 16 * 1024;
/// Seconds of a report.
const LONGEST_REPORT: f64 = 3600.0;

pub(crate) type Reply = Response<Full<Bytes>>;

/// Answers one request.
pub(crate) async fn answer(request: Request<Incoming>, database: &Database, room: &Room) -> Reply {
    let answered = match (request.method(), request.uri().path()) {
        (&Method::GET, "/room") => room.enter(request, database),
        (&Method::GET, path) if let Some((kind, text)) = page::file(path) => {
            Ok(reply_of(StatusCode::OK, kind, Full::from(text)))
        }
        _ => route(request, database)
            .await
            .map(|(status, body)| reply(status, &body)),
    };
    answered.unwrap_or_else(|failure| {
        reply(
            failure.status(),
            &json!({"error": failure.message(), "sqlstate": failure.sqlstate()}),
        )
    })
}

async fn route(
    request: Request<Incoming>,
    database: &Database,
) -> Result<(StatusCode, Value), Failure> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => Ok((StatusCode::OK, json!({"status": "ok"}))),
        (&Method::GET, "/messages") => {
            let messages = database.messages(user(request.headers())?).await?;
            Ok((StatusCode::OK, json!(messages)))
        }
        (&Method::POST, "/messages") => {
            let user = user(request.headers())?.to_owned();
            let message = database.store(&user, &body(request).await?).await?;
            Ok((StatusCode::CREATED, json!(message)))
        }
        (&Method::GET, "/report") => {
            let seconds = seconds(request.uri().query().unwrap_or_default())?;
            let user = user(request.headers())?;
            database.report(Who::User(user), seconds).await?;
            Ok((StatusCode::OK, json!({"seconds": seconds})))
        }
        _ => Err(Failure::Path),
    }
}

fn user(headers: &HeaderMap) -> Result<&str, Failure> {
    headers
        .get("x-chat-user")
        .and_then(|value| value.to_str().ok())
        .ok_or(Failure::Nobody)
}

async fn body(request: Request<Incoming>) -> Result<String, Failure> {
    let body = Limited::new(request.into_body(), LONGEST_MESSAGE);
    let bytes = body.collect().await;
    let bytes = bytes
        .map_err(|_| Failure::Request("the message is longer than 16 KiB, or broke off"))?
        .to_bytes();
    String::from_utf8(bytes.into()).map_err(|_| Failure::Request("the message is not UTF-8"))
}

fn seconds(query: &str) -> Result<f64, Failure> {
    read_seconds(query.strip_prefix("seconds=").unwrap_or_default())
}

/// The length of a report.
pub(crate) fn read_seconds(number: &str) -> Result<f64, Failure> {
    let number = number.trim().parse().ok();
    number
        .filter(|seconds| (0.0..=LONGEST_REPORT).contains(seconds))
        .ok_or(Failure::Request(
            "a report takes seconds=N, with a number from 0 to 3600",
        ))
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let body = Full::from(format!("{body}\n"));
    reply_of(status, "application/json", body)
}

fn reply_of(status: StatusCode, kind: &'static str, body: Full<Bytes>) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    reply
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_report_has_a_length() {
        assert_eq!(seconds("seconds=1.5").ok(), Some(1.5));
        for query in ["", "seconds=", "seconds=-1", "seconds=NaN", "seconds=4000"] {
            assert!(seconds(query).is_err(), "{query}");
        }
    }
}
