//! The application proves to the listener that it knows the password, where the policy asks for it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::HandshakeError;
use super::refusal::tell;
use crate::protocol::postgres::codec::{FrontendTag, HEADER_LENGTH, ProtocolError, peek};
use crate::protocol::postgres::message::{
    MAX_SASL, SaslInitialResponse, SaslResponse, authentication_sasl, authentication_sasl_continue,
    authentication_sasl_final,
};
use crate::protocol::postgres::scram::{Mechanism, ScramError, ScramVerifier, nonce};
use crate::stream::Stream;

/// How the application authenticates.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// Not at all.
    Trust,
    /// By SCRAM-SHA-256, and by -PLUS over TLS. There is one password whatever the user name, so that a wrong name and a
    /// wrong password cannot be told apart here.
    Scram(ScramVerifier),
}

/// Authenticates a client up to, and without, `AuthenticationOk`. `end_point` is [`super::Login::end_point`].
///
/// A client that is refused has been told why when this returns; the connection is to be closed then. The caller puts a
/// timeout around it, and has set `TCP_NODELAY`. Not cancel safe.
///
/// # Errors
/// A wrong proof, a channel binding that does not hold, a malformed message, or a socket that failed.
pub async fn authenticate(
    stream: &mut Stream,
    auth: &ClientAuth,
    end_point: Option<&[u8]>,
) -> Result<(), HandshakeError> {
    let ClientAuth::Scram(verifier) = auth else {
        return Ok(());
    };
    let result = exchange(stream, verifier, end_point).await;
    if let Err(error) = &result {
        tell(stream, error).await;
    }
    result
}

async fn exchange(
    stream: &mut Stream,
    verifier: &ScramVerifier,
    end_point: Option<&[u8]>,
) -> Result<(), HandshakeError> {
    let offered = Mechanism::offered(end_point.is_some());
    let mut names = Vec::with_capacity(offered.len());
    names.extend(offered.iter().map(|mechanism| mechanism.name()));
    send(stream, |out| authentication_sasl(&names, out)).await?;

    let body = read_response(stream).await?;
    let initial = SaslInitialResponse::read(&body)?;
    let mechanism = offered
        .iter()
        .find(|mechanism| mechanism.name().as_bytes() == initial.mechanism)
        .ok_or(ScramError::Mechanism)?;
    let late;
    let first = match initial.data {
        Some(data) => data,
        None => {
            send(stream, |out| authentication_sasl_continue(b"", out)).await?;
            late = read_response(stream).await?;
            SaslResponse::read(&late)?.data
        }
    };

    let nonce = nonce().ok_or(HandshakeError::Randomness)?;
    let challenge = verifier.challenge(*mechanism, end_point, first, &nonce)?;
    let server_first = challenge.server_first().as_bytes();
    send(stream, |out| {
        authentication_sasl_continue(server_first, out)
    })
    .await?;

    let body = read_response(stream).await?;
    let server_final = challenge.finish(SaslResponse::read(&body)?.data)?;
    send(stream, |out| {
        authentication_sasl_final(server_final.as_bytes(), out)
    })
    .await
}

async fn send(stream: &mut Stream, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), HandshakeError> {
    let mut out = Vec::new();
    write(&mut out);
    stream.write_all(&out).await?;
    stream.flush().await?;
    Ok(())
}

/// The body of a SASL message. Nothing else may come, and nothing longer than PostgreSQL accepts.
async fn read_response(stream: &mut Stream) -> Result<Vec<u8>, HandshakeError> {
    let malformed = |problem| ProtocolError::Malformed {
        message: "SASLResponse",
        problem,
    };
    let mut bytes = [0; HEADER_LENGTH];
    stream.read_exact(&mut bytes).await?;
    let header = peek(&bytes)?.ok_or(malformed("the header is missing"))?;
    if header.body_length() > MAX_SASL {
        return Err(malformed("longer than 1024 bytes").into());
    }
    // The body is read before its tag is judged: a socket that is closed with bytes unread may take the refusal with it.
    let mut body = vec![0; header.body_length()];
    stream.read_exact(&mut body).await?;
    if header.frontend()? != FrontendTag::Authentication {
        return Err(malformed("another message came in its place").into());
    }
    Ok(body)
}
