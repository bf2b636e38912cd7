//! The webhooks' server: HTTP/1.1 over TLS, with bounds on what a client may hold.
//!
//! Whoever reaches the port may connect, so nothing that a client sends is believed before it is bounded: connections, the time of a
//! handshake, of headers and of a body, and a body's bytes.

mod connections;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::admission::review::Webhooks;
use crate::process::stop::Stop;
use connections::Connections;

/// Bytes of a review: two objects of the API server's own largest size, and room.
pub const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// How long a body may take: the API server itself waits 5 s for an answer.
const BODY: Duration = Duration::from_secs(5);

/// Serves reviews from `listener` until told to `stop`, and then until what was begun is answered, for `patience` at most. For the first
/// half of that, new connections are taken still: the API server learns late that this replica is gone.
pub async fn serve(
    listener: TcpListener,
    tls: ServerConfig,
    webhooks: Arc<Webhooks>,
    mut stop: Stop,
    patience: Duration,
) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let mut connections = Connections::default();
    let last_call = async {
        stop.stopped().await;
        tokio::time::sleep(patience / 2).await;
    };
    let mut last_call = std::pin::pin!(last_call);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut last_call => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let webhooks = Arc::clone(&webhooks);
                connections.serve(acceptor.clone(), stream, move |request| {
                    answer(request, Arc::clone(&webhooks))
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    connections.finish(patience / 2).await;
}

async fn answer(
    request: Request<Incoming>,
    webhooks: Arc<Webhooks>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if !webhooks.knows(&path) {
        return Ok(plain(StatusCode::NOT_FOUND, "no such webhook"));
    }
    if request.method() != Method::POST {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "POST alone"));
    }
    let body = match body(request).await {
        Ok(body) => body,
        Err(refused) => return Ok(refused),
    };
    Ok(match webhooks.answer(&path, &body).await {
        Ok(review) => {
            let mut reply = Response::new(Full::new(Bytes::from(review)));
            reply
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            reply
        }
        Err(error) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
    })
}

/// The whole body, as it comes, up to [`LARGEST_BODY`].
async fn body(request: Request<Incoming>) -> Result<Bytes, Response<Full<Bytes>>> {
    let too_large = || {
        plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "a review is of 4 MiB at most",
        )
    };
    if request.body().size_hint().lower() > LARGEST_BODY as u64 {
        return Err(too_large());
    }
    match timeout(
        BODY,
        Limited::new(request.into_body(), LARGEST_BODY).collect(),
    )
    .await
    {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(plain(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *reply.status_mut() = status;
    reply.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    reply
}

/// After an accept that failed: one that concerns a single connection is over at once; one for lack of descriptors needs others to end.
pub(crate) async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        return;
    }
    tracing::warn!(%error, "a connection cannot be accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
