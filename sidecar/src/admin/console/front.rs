//! One conversation: start-up, then simple queries. What a client may hold is bounded: the bytes of a message, the time
//! for it, the time in between, and the time to take an answer.
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Flow".

mod start;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::command::Command;
use super::token::Token;
use super::{Caller, Console, ConsoleError, command};
use crate::protocol::postgres::codec::{self, FrontendTag, HEADER_LENGTH, ProtocolError};
use crate::protocol::postgres::error_response::{ErrorResponse, SqlState};
use crate::protocol::postgres::message::{self, Query, TransactionStatus};
use start::{authenticate, greet, start_up};

/// The longest message.
const MAX_MESSAGE: usize = 16 * 1024;

/// From the first byte to the end of the start-up, and of each message.
const MESSAGE_LIMIT: Duration = Duration::from_secs(10);

/// How long a client may say nothing. Told in `docs/console.md`.
const IDLE_LIMIT: Duration = Duration::from_secs(600);

/// How long a client may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How a conversation ends.
#[derive(Debug)]
enum End {
    /// The client has gone, or takes nothing any more.
    Gone,
    /// It is told why.
    Told(Box<ErrorResponse>),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<ProtocolError> for End {
    fn from(error: ProtocolError) -> Self {
        Self::fatal(SqlState::PROTOCOL_VIOLATION, error.to_string())
    }
}

impl End {
    fn fatal(code: SqlState, message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::Told(Box::new(ErrorResponse::fatal(code, message)))
    }
}

/// Serves a client to its end. With a `token` it must know that first.
pub(super) async fn converse<S>(
    mut stream: S,
    console: &Console,
    caller: &Caller,
    token: Option<&Token>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ended = async {
        start_up(&mut stream).await?;
        if let Some(token) = token {
            authenticate(&mut stream, token).await?;
        }
        greet(&mut stream).await?;
        answer_all(&mut stream, console, caller).await
    };
    let ended: Result<(), End> = ended.await;
    if let Err(End::Told(error)) = ended {
        farewell(&mut stream, &error).await;
    }
}

/// Tells a client why it is not served, once it has said what it wants.
pub(super) async fn turn_away<S>(mut stream: S, why: ErrorResponse)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if start_up(&mut stream).await.is_ok() {
        farewell(&mut stream, &why).await;
    }
}

async fn farewell<S: AsyncWrite + Unpin>(stream: &mut S, error: &ErrorResponse) {
    let mut out = Vec::new();
    error.write(&mut out);
    if send(stream, &out).await.is_ok() {
        // A client that has gone meanwhile does not need the end of the stream.
        let _ = timeout(ANSWER_LIMIT, stream.shutdown()).await;
    }
}

/// Answers message by message, until the client says goodbye.
async fn answer_all<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    console: &Console,
    caller: &Caller,
) -> Result<(), End> {
    use FrontendTag as T;
    // After an error in the extended protocol, all up to Sync is passed over.
    let mut skips = false;
    loop {
        let (tag, body) = next_message(stream).await?;
        let mut out = Vec::new();
        match tag {
            T::Terminate => return Ok(()),
            T::Sync => {
                skips = false;
                message::ready_for_query(TransactionStatus::Idle, &mut out);
            }
            _ if skips => {}
            T::Query => {
                answer_query(&body, console, caller, &mut out).await?;
                message::ready_for_query(TransactionStatus::Idle, &mut out);
            }
            T::FunctionCall => {
                simple_only().write(&mut out);
                message::ready_for_query(TransactionStatus::Idle, &mut out);
            }
            T::Parse | T::Bind | T::Describe | T::Execute | T::Close => {
                skips = true;
                simple_only().write(&mut out);
            }
            // As a server does that is not copying.
            T::CopyData | T::CopyDone | T::CopyFail | T::Flush => {}
            T::Authentication => {
                return Err(End::fatal(
                    SqlState::PROTOCOL_VIOLATION,
                    "unexpected authentication message: the login is over",
                ));
            }
        }
        send(stream, &out).await?;
    }
}

/// The next message, whole. One is waited for as long as [`IDLE_LIMIT`]; once it has begun it has [`MESSAGE_LIMIT`].
async fn next_message<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(FrontendTag, Vec<u8>), End> {
    let Ok(first) = timeout(IDLE_LIMIT, stream.read_u8()).await else {
        return Err(End::fatal(
            SqlState::IDLE_SESSION_TIMEOUT,
            "the console was idle for 10 minutes",
        ));
    };
    let mut header = [0; HEADER_LENGTH];
    header[0] = first?;
    let read = async {
        stream.read_exact(&mut header[1..]).await?;
        let header = codec::peek(&header)?.ok_or(End::Gone)?;
        let tag = header.frontend()?;
        let length = header.body_length();
        if length > MAX_MESSAGE {
            return Err(End::fatal(
                SqlState::PROTOCOL_VIOLATION,
                format!("a message of {length} bytes; the console takes {MAX_MESSAGE}"),
            ));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        Ok((tag, body))
    };
    timeout(MESSAGE_LIMIT, read).await.unwrap_or(Err(End::Gone))
}

/// Carries out what a Query holds: all of it, or up to the first error.
async fn answer_query(
    body: &[u8],
    console: &Console,
    caller: &Caller,
    out: &mut Vec<u8>,
) -> Result<(), End> {
    let query = Query::read(body)?;
    let commands: Result<Vec<Command>, ConsoleError> = match std::str::from_utf8(query.text) {
        Ok(text) => command::read(text).map_err(ConsoleError::Misread),
        Err(_) => {
            ErrorResponse::error(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "a command is UTF-8")
                .write(out);
            return Ok(());
        }
    };
    let failed = match commands {
        Ok(commands) if commands.is_empty() => {
            message::empty_query_response(out);
            return Ok(());
        }
        Ok(commands) => carry_out(commands, console, caller, out).await,
        Err(error) => Err(error),
    };
    if let Err(error) = failed {
        error.response().write(out);
    }
    Ok(())
}

async fn carry_out(
    commands: Vec<Command>,
    console: &Console,
    caller: &Caller,
    out: &mut Vec<u8>,
) -> Result<(), ConsoleError> {
    for command in commands {
        console.carry_out(caller, command, out).await?;
    }
    Ok(())
}

fn simple_only() -> ErrorResponse {
    ErrorResponse::error(
        SqlState::FEATURE_NOT_SUPPORTED,
        "the console speaks the simple query protocol alone",
    )
    .with_hint(
        "Send a plain query without parameters, as psql does; with a driver, its simple mode.",
    )
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), End> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    match timeout(ANSWER_LIMIT, sent).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(End::Gone),
    }
}

#[cfg(test)]
mod tests;
