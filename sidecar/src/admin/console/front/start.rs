//! The beginning: encryption is declined, a version agreed on, the token asked for where there is one.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::super::token::{PENALTY, Token};
use super::{End, MESSAGE_LIMIT, next_message, send};
use crate::protocol::postgres::codec::FrontendTag;
use crate::protocol::postgres::error_response::SqlState;
use crate::protocol::postgres::message::{
    self, MIN_STARTUP_LENGTH, NegotiateProtocolVersion, ParameterStatus, ProtocolVersion,
    StartupMessage, StartupPacket, TransactionStatus,
};

/// The longest start-up packet: PostgreSQL's own limit.
const MAX_STARTUP: u32 = 10_000;

/// What a client is told at its start that drivers want to know.
const PARAMETERS: [(&str, &str); 7] = [
    (
        "server_version",
        concat!(env!("CARGO_PKG_VERSION"), "/bulkhead"),
    ),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("TimeZone", "Etc/UTC"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
];

/// From the first byte to the end of the start-up packet. Which user and database it names does not matter: who may connect has
/// been decided, and there is one console.
pub(super) async fn start_up<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<(), End> {
    let started = async {
        // A client asks for each encryption once.
        for _ in 0..3 {
            let packet = read_packet(stream).await?;
            match StartupPacket::read(&packet)? {
                StartupPacket::SslRequest | StartupPacket::GssEncRequest => {
                    stream.write_all(b"N").await?;
                }
                // Nothing runs here that could be cancelled.
                StartupPacket::Cancel(_) => return Err(End::Gone),
                StartupPacket::Startup(startup) => return agree(stream, &startup).await,
            }
        }
        Err(End::fatal(
            SqlState::PROTOCOL_VIOLATION,
            "encryption was asked for more often than there are kinds of it",
        ))
    };
    timeout(MESSAGE_LIMIT, started)
        .await
        .unwrap_or(Err(End::Gone))
}

/// The bytes behind a packet's length, which is judged before anything is reserved for them.
async fn read_packet<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, End> {
    let length = stream.read_u32().await?;
    if !(MIN_STARTUP_LENGTH..=MAX_STARTUP).contains(&length) {
        return Err(End::fatal(
            SqlState::PROTOCOL_VIOLATION,
            format!("a start-up packet of {length} bytes is none"),
        ));
    }
    let mut body = vec![0; (length as usize).saturating_sub(4)];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Agrees on a version of the protocol: 3.0 is all that is needed.
async fn agree<S: AsyncWrite + Unpin>(
    stream: &mut S,
    startup: &StartupMessage<'_>,
) -> Result<(), End> {
    if startup.version.major != ProtocolVersion::V3_0.major {
        return Err(End::fatal(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!(
                "protocol {} is not spoken here, but 3.0 is",
                startup.version
            ),
        ));
    }
    let parameters = startup.parameters()?;
    let names = parameters.iter().map(|(name, _)| *name);
    let unknown_options: Vec<&[u8]> = names.filter(|name| name.starts_with(b"_pq_.")).collect();
    if startup.version > ProtocolVersion::V3_0 || !unknown_options.is_empty() {
        let mut out = Vec::new();
        NegotiateProtocolVersion {
            version: ProtocolVersion::V3_0,
            unknown_options,
        }
        .write(&mut out);
        stream.write_all(&out).await?;
    }
    Ok(())
}

/// Asks for the token. A wrong one is told of after a while, so that nobody tries many.
pub(super) async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    token: &Token,
) -> Result<(), End> {
    let mut out = Vec::new();
    message::authentication_cleartext_password(&mut out);
    send(stream, &out).await?;
    let message = timeout(MESSAGE_LIMIT, next_message(stream)).await;
    let (tag, body) = message.unwrap_or(Err(End::Gone))?;
    let given = body.strip_suffix(&[0]).unwrap_or_default();
    if tag == FrontendTag::Authentication && token.is(given) {
        return Ok(());
    }
    tracing::warn!(target: "audit", "the console was asked with a wrong token");
    sleep(PENALTY).await;
    Err(End::fatal(
        SqlState::INVALID_PASSWORD,
        "this is not the console's token",
    ))
}

/// Tells the client that it is let in.
pub(super) async fn greet<S: AsyncWrite + Unpin>(stream: &mut S) -> Result<(), End> {
    let mut out = Vec::new();
    message::authentication_ok(&mut out);
    for (name, value) in PARAMETERS {
        ParameterStatus {
            name: name.as_bytes(),
            value: value.as_bytes(),
        }
        .write(&mut out);
    }
    message::ready_for_query(TransactionStatus::Idle, &mut out);
    send(stream, &out).await
}
