//! The chat room: a WebSocket a client, and everybody hears what everybody says.
//!
//! Who a client is, the sidecar says (`x-bulkhead-user`): there is no token in here, no ping, no limit and no timeout. A message goes out as
//! `{"type": "message", "user": …, "body": …}`. `/report SECONDS` has the database work for its sender, who alone is told the end of it
//! (`"type": "report"`): work that belongs to the socket, and ends with it.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::routes::{Reply, read_seconds};
use crate::{Database, Failure, Who};

/// Messages that a slow listener may be behind; it misses what is older.
const BACKLOG: usize = 256;

/// Reports of one client's that may be under way or unread at a time.
const REPORTS: usize = 4;

/// The room. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Room(Arc<broadcast::Sender<Utf8Bytes>>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(broadcast::channel(BACKLOG).0))
    }
}

impl Room {
    /// Answers a request for a WebSocket, and lets the client in.
    ///
    /// # Errors
    /// It names nobody, or asks for no WebSocket.
    pub(crate) fn enter(
        &self,
        mut request: Request<Incoming>,
        database: &Database,
    ) -> Result<Reply, Failure> {
        let headers = request.headers();
        let user = headers.get("x-bulkhead-user");
        let user = user.and_then(|value| value.to_str().ok());
        let user = user.ok_or(Failure::Nobody)?.to_owned();
        let key = headers.get(SEC_WEBSOCKET_KEY);
        let key = key.ok_or(Failure::Request(
            "this is a WebSocket: come with an upgrade",
        ))?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
            .map_err(|_| Failure::Request("Sec-WebSocket-Key is none"))?;
        let context = headers.get("x-bulkhead-context");
        let reporter = Reporter {
            database: database.clone(),
            context: context.and_then(|it| it.to_str().ok()).map(str::to_owned),
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let room = self.clone();
        tokio::spawn(async move {
            // A client that goes away in mid-upgrade is no news.
            if let Ok(upgraded) = upgrade.await {
                let io = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
                room.serve(&user, &reporter, socket).await;
            }
        });
        let mut reply = Response::new(Full::new(Bytes::new()));
        *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = reply.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        Ok(reply)
    }

    async fn serve(
        &self,
        user: &str,
        reporter: &Reporter,
        mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    ) {
        let mut heard = self.0.subscribe();
        let (done, mut reports) = mpsc::channel(REPORTS);
        loop {
            tokio::select! {
                said = socket.next() => match said {
                    Some(Ok(Message::Text(body))) if body.starts_with("/report ") => {
                        reporter.begin(body["/report ".len()..].to_owned(), &done);
                    }
                    Some(Ok(Message::Text(body))) => {
                        let message = json!({"type": "message", "user": user, "body": body.as_str()});
                        // Whoever says something is there to hear it.
                        let _ = self.0.send(message.to_string().into());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
                message = heard.recv() => match message {
                    Ok(message) => {
                        if socket.send(Message::Text(message)).await.is_err() {
                            return;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(report) = reports.recv() => {
                    if socket.send(Message::Text(report)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Has the database work in the name of a socket.
struct Reporter {
    database: Database,
    context: Option<String>,
}

impl Reporter {
    /// Begins a report of so many seconds, the end of which is told to `done`. It does not look whether its client is still there: that
    /// is the sidecar's to know.
    fn begin(&self, seconds: String, done: &mpsc::Sender<Utf8Bytes>) {
        let Ok(done) = done.clone().try_reserve_owned() else {
            return;
        };
        let (database, context) = (self.database.clone(), self.context.clone());
        tokio::spawn(async move {
            let ended = report(&database, context.as_deref(), &seconds).await;
            let body = match ended {
                Ok(()) => format!("the report is done, after {seconds} seconds"),
                Err(failure) => format!("no report: {}", failure.message()),
            };
            done.send(json!({"type": "report", "body": body}).to_string().into());
        });
    }
}

async fn report(database: &Database, context: Option<&str>, seconds: &str) -> Result<(), Failure> {
    let context = context.ok_or(Failure::Nobody)?;
    database
        .report(Who::Context(context), read_seconds(seconds)?)
        .await
}
