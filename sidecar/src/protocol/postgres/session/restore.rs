//! Bringing a server connection back to a known state: statements of the sidecar's own, and the reset behind a client.
//!
//! Whatever a client leaves behind (a running statement, an open transaction, session state), the connection either comes
//! back proven clean or is closed. Nothing here waits longer than [`RESTORE_LIMIT`].

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::super::codec::{self, BackendTag, HEADER_LENGTH, ProtocolError};
use super::super::message::{self, Field, NoticeFields, Query, TransactionStatus};
use super::baseline::{self, Settings};
use crate::factory::server::{Server, Soiled};

/// How long a server may take for a ROLLBACK, a reset, or the end of what was cancelled. Then the connection is closed.
pub const RESTORE_LIMIT: Duration = Duration::from_secs(5);

/// Takes away what a session can carry.
const DISCARD_ALL: &str = "DISCARD ALL";

/// An error body longer than this is not one that a server of good will sends in answer to statements of ours.
const ERROR_BODY: usize = 64 * 1024;

/// A connection whose server has answered `DISCARD ALL` outside of any transaction, and which no cancel request can reach any
/// more. The proof is the connection itself: none can be shown for another one.
#[derive(Debug)]
pub struct Cleansed(Soiled);

impl Cleansed {
    /// The connection, as it was taken from its owner.
    #[must_use]
    pub fn into_soiled(self) -> Soiled {
        self.0
    }
}

/// Why a connection could not be brought back. Whatever it is, the connection is closed.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The socket failed.
    #[error("the server connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server did not keep to the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The server did not answer in time.
    #[error("the server did not answer within {} s", RESTORE_LIMIT.as_secs())]
    TimedOut,
    /// The server is still in a transaction, or refused the statement.
    #[error("the server refused: {0}")]
    Refused(String),
}

impl RestoreError {
    /// A cancel request has been sent, and nobody knows whether the server has dealt with it.
    #[must_use]
    pub fn cancel_may_come() -> Self {
        Self::Refused("a cancel request may still come".to_owned())
    }
}

/// How a statement of the sidecar's own ended.
#[derive(Debug)]
pub struct Outcome {
    /// The state after it.
    pub status: TransactionStatus,
    /// The body of the server's error, if it raised one.
    pub error: Option<Vec<u8>>,
    /// The first field of the last row, as text.
    pub answer: Option<String>,
}

/// Runs SQL of the sidecar's own as a simple query, and reads until the server is ready again.
///
/// Not cancel safe: a connection on which this was dropped half-way must be closed.
///
/// # Errors
/// The socket's failure, a breach of the protocol, or no answer by `deadline`.
pub async fn run(
    server: &mut Server,
    sql: &str,
    deadline: Instant,
) -> Result<Outcome, RestoreError> {
    send(server, sql)?;
    within(deadline, read_until_ready(server)).await
}

/// Puts SQL of the sidecar's own behind what is to be sent.
fn send(server: &mut Server, sql: &str) -> Result<(), RestoreError> {
    let query = Query {
        text: sql.as_bytes(),
    };
    query.write(server.outbox.writer())?;
    server.backend.statements.set_unnamed(None);
    Ok(())
}

/// Reads and discards until every outstanding answer has come, after a cancel.
///
/// # Errors
/// As [`run`].
pub async fn settle(server: &mut Server, deadline: Instant) -> Result<(), RestoreError> {
    within(deadline, async {
        if server.backend.replies.is_copying_in() {
            // The server waits for data, and hears of no cancel meanwhile.
            fail_copy(server);
        }
        if !server.backend.replies.is_settled() {
            // A batch without its Sync would never be answered.
            message::sync(server.outbox.writer());
            server.backend.replies.push_sync();
        }
        skip(server, server.backend.rest.left).await?;
        server.backend.rest.left = 0;
        while server.backend.replies.is_outstanding() {
            discard_message(server).await?;
        }
        if server.backend.replies.is_doubtful() {
            return Err(RestoreError::Refused(
                "nobody knows what it still owes".to_owned(),
            ));
        }
        Ok(())
    })
    .await
}

/// Ends a COPY whose client gives no more data.
pub fn fail_copy(server: &mut Server) {
    message::copy_fail(b"the client gives no more data", server.outbox.writer());
    server.backend.replies.push_copy_end();
}

/// Ends an open transaction, if there is one.
///
/// # Errors
/// As [`run`]; also where the server is still in a transaction afterwards.
pub async fn rollback(server: &mut Server, deadline: Instant) -> Result<(), RestoreError> {
    if server.backend.status == TransactionStatus::Idle {
        return Ok(());
    }
    let outcome = run(server, "ROLLBACK", deadline).await?;
    expect_idle(&outcome)
}

/// Takes away everything that a session can carry and the server can take away.
///
/// # Errors
/// As [`rollback`].
pub async fn cleanse(server: &mut Server, deadline: Instant) -> Result<(), RestoreError> {
    cleanse_for(server, None, deadline).await
}

/// The same, for a connection that goes to another owner: in one flight with what makes it `next`, the settings that they want. Nobody's
/// work begins before both have been answered. What of the settings is refused is said again by who prepares the connection, where
/// a client hears of it.
///
/// # Errors
/// As [`cleanse`], and that a cancel request of its last owner's may still come; with the connection, which must be closed.
pub async fn prove_clean(
    mut soiled: Soiled,
    next: Option<&Rc<Settings>>,
    deadline: Instant,
) -> Result<Cleansed, (Soiled, RestoreError)> {
    let server = soiled.server();
    let outcome = if server.cancels.is_empty() {
        cleanse_for(server, next, deadline).await
    } else {
        Err(RestoreError::cancel_may_come())
    };
    match outcome {
        Ok(()) => Ok(Cleansed(soiled)),
        Err(error) => Err((soiled, error)),
    }
}

async fn cleanse_for(
    server: &mut Server,
    next: Option<&Rc<Settings>>,
    deadline: Instant,
) -> Result<(), RestoreError> {
    rollback(server, deadline).await?;
    send(server, DISCARD_ALL)?;
    let start = Rc::clone(&server.backend.start);
    let sql = next.map(|next| baseline::difference(&start, &start, next));
    let sql = sql.unwrap_or_default();
    if !sql.is_empty() {
        send(server, &sql)?;
    }
    within(deadline, async {
        expect_idle(&read_until_ready(server).await?)?;
        server.backend.forget_session();
        if let Some(next) = next {
            let refused = !sql.is_empty() && are_refused(&read_until_ready(server).await?)?;
            server.backend.now = (!refused).then(|| Rc::clone(next));
        }
        Ok(())
    })
    .await
}

/// Whether the server has refused settings, which it has answered outside of any transaction.
fn are_refused(set: &Outcome) -> Result<bool, RestoreError> {
    expect_no_transaction(set)?;
    Ok(set.error.is_some())
}

fn expect_idle(outcome: &Outcome) -> Result<(), RestoreError> {
    if let Some(body) = &outcome.error {
        return Err(RestoreError::Refused(message_of(body)));
    }
    expect_no_transaction(outcome)
}

fn expect_no_transaction(outcome: &Outcome) -> Result<(), RestoreError> {
    if outcome.status == TransactionStatus::Idle {
        Ok(())
    } else {
        Err(RestoreError::Refused(
            "it is still in a transaction".to_owned(),
        ))
    }
}

async fn within<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, RestoreError>>,
) -> Result<T, RestoreError> {
    match timeout_at(deadline, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(RestoreError::TimedOut),
    }
}

async fn read_until_ready(server: &mut Server) -> Result<Outcome, RestoreError> {
    let (mut error, mut answer, mut answered) = (None, None, false);
    loop {
        let (tag, body) = next_message(server).await?;
        match tag {
            // An answer to something else: who reads on is one answer behind from here on.
            BackendTag::ReadyForQuery if !answered => {
                return Err(RestoreError::Refused(
                    "it was ready before it had answered".to_owned(),
                ));
            }
            BackendTag::ReadyForQuery => {
                let status = TransactionStatus::read(&body)?;
                server.backend.status = status;
                return Ok(Outcome {
                    status,
                    error,
                    answer,
                });
            }
            BackendTag::ErrorResponse => (error, answered) = (Some(body), true),
            BackendTag::CommandComplete => answered = true,
            BackendTag::DataRow => answer = first_field(&body),
            _ => note(server, tag, &body),
        }
    }
}

/// The first field of a `DataRow`; none where it is null, or no text.
fn first_field(body: &[u8]) -> Option<String> {
    let length = body.get(2..6)?.try_into().ok()?;
    let length = usize::try_from(i32::from_be_bytes(length)).ok()?;
    let field = body.get(6..6_usize.checked_add(length)?)?;
    String::from_utf8(field.to_vec()).ok()
}

/// Reads one whole message of the server's. For answers to statements of our own, whose messages are small.
async fn next_message(server: &mut Server) -> Result<(BackendTag, Vec<u8>), RestoreError> {
    loop {
        if let Some(header) = codec::peek(server.inbox.bytes())? {
            let tag = header.backend()?;
            let total = header.message_length();
            if total > ERROR_BODY {
                return Err(RestoreError::Refused("its answer is too long".to_owned()));
            }
            if let Some(whole) = server.inbox.bytes().get(HEADER_LENGTH..total) {
                let body = whole.to_vec();
                server.inbox.consume(total);
                return Ok((tag, body));
            }
            server.inbox.reserve(total);
        }
        fill(server).await?;
    }
}

/// Reads one message of any size, in pieces, and holds it against the queue of expected answers.
async fn discard_message(server: &mut Server) -> Result<(), RestoreError> {
    let header = loop {
        if let Some(header) = codec::peek(server.inbox.bytes())? {
            break header;
        }
        fill(server).await?;
    };
    let tag = header.backend()?;
    if tag == BackendTag::ReadyForQuery || tag == BackendTag::ParameterStatus {
        let (_, body) = next_message(server).await?;
        if tag == BackendTag::ReadyForQuery {
            server.backend.status = TransactionStatus::read(&body)?;
        }
        note(server, tag, &body);
    } else {
        skip(server, header.message_length()).await?;
    }
    server.backend.step_unseen(tag);
    Ok(())
}

async fn skip(server: &mut Server, mut left: usize) -> Result<(), RestoreError> {
    while left > 0 {
        if server.inbox.is_empty() {
            fill(server).await?;
        }
        let taken = left.min(server.inbox.len());
        server.inbox.consume(taken);
        left -= taken;
    }
    Ok(())
}

fn note(server: &mut Server, tag: BackendTag, body: &[u8]) {
    if tag == BackendTag::ParameterStatus {
        server.backend.note_parameter(body);
    }
}

/// The text of an error's body, for a log or a refusal.
#[must_use]
pub fn message_of(body: &[u8]) -> String {
    let fields = NoticeFields::read(body).ok();
    let text = fields.and_then(|fields| fields.get(Field::Message));
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}

/// The SQLSTATE of an error's body; empty where it has none.
#[must_use]
pub fn code_of(body: &[u8]) -> &[u8] {
    let fields = NoticeFields::read(body).ok();
    fields
        .and_then(|fields| fields.get(Field::Code))
        .unwrap_or_default()
}

/// Reads once; writes what is due meanwhile.
async fn fill(server: &mut Server) -> Result<(), RestoreError> {
    let Server {
        stream,
        inbox,
        outbox,
        ..
    } = server;
    let count = poll_fn(|cx| {
        if let std::task::Poll::Ready(Err(error)) = outbox.poll_flush(stream, cx) {
            return std::task::Poll::Ready(Err(error));
        }
        inbox.poll_fill(stream, cx)
    })
    .await?;
    if count == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}
