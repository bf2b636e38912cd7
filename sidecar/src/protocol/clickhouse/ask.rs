//! What the sidecar itself asks a server: what it knows, and that it ends a query.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::rewrite::Account;
use super::wire::Exchange;
use crate::force::DatabaseForce;
use crate::stream::Stream;
use crate::upstream::ConnectError;

/// Bytes of an answer to a question of the sidecar's own.
const ANSWER: usize = 4 * 1024;

/// How long a server may take to confirm that it has ended a query.
pub(super) const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Why a question has no answer.
#[derive(Debug, Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the connection was lost: {0}")]
    Lost(#[from] hyper::Error),
    #[error("the answer is too long")]
    TooLong,
    #[error("no answer in time")]
    TooLate,
    #[error("the question cannot be sent: {0}")]
    Request(#[from] http::Error),
}

/// Asks on a connection to `place`, which is left ready for the next exchange where that is said to be so.
///
/// # Errors
/// See [`AskError`]; the connection is of no use then.
pub(super) async fn ask(
    stream: &mut Stream,
    place: &str,
    account: &Account,
    query: &str,
    deadline: Instant,
) -> Result<(StatusCode, Bytes, bool), AskError> {
    // In the body: a server asks for the length of a POST, and an empty one says none.
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/")
        .body(Full::new(Bytes::copy_from_slice(query.as_bytes())))?;
    if let Ok(host) = HeaderValue::from_str(place) {
        request.headers_mut().insert(HOST, host);
    }
    account.write(request.headers_mut());
    let asking = async {
        let mut exchange = Exchange::begin(stream).await?;
        let answer = exchange.head(request).await?;
        let status = answer.status();
        let mut body = answer.into_body();
        let mut read = BytesMut::new();
        while let Some(piece) = exchange.piece(&mut body).await {
            if let Ok(data) = piece?.into_data() {
                read.extend_from_slice(&data);
            }
            if read.len() > ANSWER {
                return Err(AskError::TooLong);
            }
        }
        let reusable = exchange.give_back().await;
        Ok((status, read.freeze(), reusable))
    };
    timeout_at(deadline, asking)
        .await
        .unwrap_or(Err(AskError::TooLate))
}

/// What a server knows, found out once for each epoch of the upstream's.
#[derive(Debug, Default)]
pub struct Knowledge(Cell<Option<(u64, Knows)>>);

/// What differs between servers, as far as the sidecar goes by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Knows {
    /// Whether queries have a comment in the server's log (20.12 and later), and quotas take a key that they do not ask for.
    pub(super) log_comment: bool,
}

const QUESTION: &str =
    "SELECT name FROM system.settings WHERE name = 'log_comment' FORMAT TabSeparated";

impl Knowledge {
    /// What is known of servers of this epoch.
    pub(super) fn of(&self, epoch: u64) -> Option<Knows> {
        let known = self.0.get()?;
        (known.0 == epoch).then_some(known.1)
    }

    /// Asks the server at the other end of a connection. A server that does not let the account ask is taken for an old one, and asked again
    /// next time: what is wrong with the account, the query itself will tell.
    ///
    /// # Errors
    /// The connection is lost, or of no use any more.
    pub(super) async fn find_out(
        &self,
        stream: &mut Stream,
        force: &DatabaseForce,
        account: &Account,
        epoch: u64,
    ) -> Result<(Knows, bool), AskError> {
        let deadline = Instant::now() + force.settings.timeouts.connect;
        let place = force.connector.endpoint().place();
        let (status, said, reusable) = ask(stream, &place, account, QUESTION, deadline).await?;
        if status != StatusCode::OK {
            return Ok((Knows::default(), reusable));
        }
        let knows = Knows {
            log_comment: said.trim_ascii() == b"log_comment",
        };
        self.0.set(Some((epoch, knows)));
        Ok((knows, reusable))
    }
}

/// Has the server end a query, by the address at which it runs, and waits until it has ended.
///
/// # Errors
/// See [`AskError`]: whether the query has ended is not known then.
pub(super) async fn kill(
    force: &DatabaseForce,
    at: Option<SocketAddr>,
    account: &Account,
    query_id: &str,
) -> Result<(), AskError> {
    let deadline = Instant::now() + KILL_LIMIT;
    let mut stream = force.connector.open_at(at, deadline).await?;
    // The id is the sidecar's own: letters, digits and a dash.
    let query = format!("KILL QUERY WHERE query_id = '{query_id}' SYNC");
    let place = force.connector.endpoint().place();
    let (status, said, _) = ask(&mut stream, &place, account, &query, deadline).await?;
    if status != StatusCode::OK {
        let said = String::from_utf8_lossy(&said);
        tracing::warn!(upstream = %force.name, %status, said = said.trim_end(), "the server has refused to end a query");
    }
    Ok(())
}
