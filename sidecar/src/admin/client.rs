//! The other end of the control socket: what the subcommands ask a running sidecar with.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::AdminError;

/// The largest answer: ten thousand users at some 400 bytes each, with room.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// The whole exchange; a little over what the sidecar gives its workers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for JSON.
///
/// # Errors
///
/// [`AdminError`], when nobody answers, or not so.
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &'static str) -> Result<T, AdminError> {
    let body = exchange(socket, Method::GET, path).await?;
    serde_json::from_slice(&body).map_err(|error| broken(socket, error))
}

/// Asks the sidecar to begin its drain, and returns as soon as it has agreed, with what it says that this comes to.
///
/// # Errors
///
/// [`AdminError`], when nobody answers, or not so.
pub async fn drain(socket: &Path) -> Result<String, AdminError> {
    let answer = exchange(socket, Method::POST, "/drain").await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn exchange(socket: &Path, method: Method, path: &'static str) -> Result<Bytes, AdminError> {
    match timeout(PATIENCE, exchange_slowly(socket, method, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(broken(
            socket,
            format!("nothing after {}s", PATIENCE.as_secs()),
        )),
    }
}

async fn exchange_slowly(
    socket: &Path,
    method: Method,
    path: &'static str,
) -> Result<Bytes, AdminError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| AdminError::NoSidecar {
            path: socket.to_owned(),
            source,
        })?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "bulkhead")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| broken(socket, error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(socket, error))?;
    // The connection makes no progress unless it is polled; the answer ends it.
    let driver = tokio::spawn(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| broken(socket, error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER)
        .collect()
        .await
        .map_err(|error| broken(socket, error))?
        .to_bytes();
    driver.abort();
    if status.is_success() {
        return Ok(body);
    }
    Err(AdminError::Refused {
        path: socket.to_owned(),
        status: status.as_u16(),
        text: String::from_utf8_lossy(&body).trim().to_owned(),
    })
}

fn broken(socket: &Path, reason: impl ToString) -> AdminError {
    AdminError::BrokenAnswer {
        path: socket.to_owned(),
        reason: reason.to_string(),
    }
}
