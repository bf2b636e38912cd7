//! The conversation before a login: encryption requests, TLS, and the start-up packet itself.
//!
//! Reads exactly the bytes of each packet, so that nothing is ever buffered between plaintext and TLS (the class of
//! CVE-2021-23214), nor behind the login. Source: PostgreSQL documentation, "Start-up" and "SSL Session Encryption", and
//! `ProcessStartupPacket` in the server.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::HandshakeError;
use super::login::Request;
use super::refusal::tell;
use super::tls::{EndPoint, ListenTls, means_postgresql};
use super::{Arrival, Login};
use crate::protocol::postgres::message::{
    MAX_STARTUP_LENGTH, MIN_STARTUP_LENGTH, StartupMessage, StartupPacket,
};
use crate::stream::Stream;

/// The first byte of a TLS handshake record; no start-up packet is long enough to begin with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// Which requests may come no more.
#[derive(Default)]
struct Asked {
    ssl: bool,
    gss: bool,
}

/// Receives a client, from its first byte to the end of its start-up packet.
///
/// A client that is refused has been told why when this returns, where it could be told. `tls` is the listener's certificate;
/// without one, and on a Unix socket, `SSLRequest` is answered `N`. The caller puts a timeout around it: a client may be
/// silent for ever. Not cancel safe: dropping it closes the socket.
///
/// # Errors
/// See [`HandshakeError`].
pub async fn receive(stream: Stream, tls: Option<&ListenTls>) -> Result<Arrival, HandshakeError> {
    let mut asked = Asked::default();
    let (mut stream, mut end_point) = accept_direct_tls(stream, tls).await?;
    loop {
        let body = match read_packet(&mut stream).await {
            Ok(body) => body,
            Err(error) => return Err(refuse(stream, error).await),
        };
        match StartupPacket::read(&body) {
            Ok(StartupPacket::Cancel(key)) => return Ok(Arrival::Cancel(key, Box::new(stream))),
            Ok(StartupPacket::Startup(startup)) => {
                return log_in(stream, &startup, end_point).await;
            }
            Ok(StartupPacket::SslRequest) => {
                if let Err(error) = asked.ssl(&stream) {
                    return Err(refuse(stream, error).await);
                }
                (stream, end_point) = answer_ssl(stream, end_point, tls).await?;
                asked.gss |= stream.is_tls();
            }
            Ok(StartupPacket::GssEncRequest) => {
                if let Err(error) = asked.gss(&stream) {
                    return Err(refuse(stream, error).await);
                }
                stream.write_all(b"N").await?;
            }
            Err(error) => return Err(refuse(stream, error.into()).await),
        }
    }
}

impl Asked {
    fn ssl(&mut self, stream: &Stream) -> Result<(), HandshakeError> {
        once(&mut self.ssl, stream, "SSLRequest")
    }

    fn gss(&mut self, stream: &Stream) -> Result<(), HandshakeError> {
        once(&mut self.gss, stream, "GSSENCRequest")
    }
}

fn once(asked: &mut bool, stream: &Stream, request: &'static str) -> Result<(), HandshakeError> {
    if std::mem::replace(asked, true) {
        return Err(HandshakeError::Repeated(request));
    }
    if has_more(stream)? {
        return Err(HandshakeError::EarlyBytes(request));
    }
    Ok(())
}

/// Whether the client has sent more than it was asked for. Inside of TLS that is no attack.
fn has_more(stream: &Stream) -> Result<bool, HandshakeError> {
    let mut byte = [0];
    let read = match stream {
        Stream::Tcp(socket) => socket.try_read(&mut byte),
        Stream::Unix(socket) => socket.try_read(&mut byte),
        Stream::TlsServer(_) | Stream::TlsClient(_) => return Ok(false),
        Stream::Gone => return Err(HandshakeError::Closed),
    };
    match read {
        Ok(0) => Err(HandshakeError::Closed),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// TLS from the first byte, where the listener has a certificate and the client begins so.
async fn accept_direct_tls(
    stream: Stream,
    tls: Option<&ListenTls>,
) -> Result<(Stream, Option<EndPoint>), HandshakeError> {
    let (socket, tls) = match (stream, tls) {
        (Stream::Tcp(socket), Some(tls)) => (socket, tls),
        (stream, _) => return Ok((stream, None)),
    };
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 {
        return Err(HandshakeError::Closed);
    }
    if first != [TLS_HANDSHAKE] {
        return Ok((Stream::Tcp(socket), None));
    }
    let encrypted = tls.accept(socket).await?;
    let meant = means_postgresql(&encrypted);
    let stream = Stream::TlsServer(Box::new(encrypted));
    if !meant {
        return Err(refuse(stream, HandshakeError::NoApplicationProtocol).await);
    }
    Ok((stream, tls.end_point().cloned()))
}

async fn answer_ssl(
    stream: Stream,
    end_point: Option<EndPoint>,
    tls: Option<&ListenTls>,
) -> Result<(Stream, Option<EndPoint>), HandshakeError> {
    match (stream, tls) {
        (Stream::Tcp(mut socket), Some(tls)) => {
            socket.write_all(b"S").await?;
            let encrypted = tls.accept(socket).await?;
            let stream = Stream::TlsServer(Box::new(encrypted));
            Ok((stream, tls.end_point().cloned()))
        }
        (mut stream, _) => {
            stream.write_all(b"N").await?;
            stream.flush().await?;
            Ok((stream, end_point))
        }
    }
}

/// The bytes behind a packet's length. The length is judged before anything is reserved for them.
async fn read_packet(stream: &mut Stream) -> Result<Vec<u8>, HandshakeError> {
    let length = stream.read_u32().await?;
    if !(MIN_STARTUP_LENGTH..=MAX_STARTUP_LENGTH).contains(&length) {
        return Err(HandshakeError::Length(length));
    }
    let mut body = vec![0; (length as usize).saturating_sub(4)];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

async fn log_in(
    mut stream: Stream,
    startup: &StartupMessage<'_>,
    end_point: Option<EndPoint>,
) -> Result<Arrival, HandshakeError> {
    let request = match Request::read(startup) {
        Ok(request) => request,
        Err(error) => return Err(refuse(stream, error).await),
    };
    if let Some(negotiation) = &request.negotiation {
        let mut out = Vec::new();
        negotiation.write(&mut out);
        stream.write_all(&out).await?;
        stream.flush().await?;
    }
    Ok(Arrival::Login(Box::new(Login {
        stream,
        end_point,
        protocol: request.protocol,
        user: request.user,
        database: request.database,
        parameters: request.parameters,
        context_token: request.context_token,
        asserted_user: request.asserted_user,
        replication: request.replication,
    })))
}

async fn refuse(mut stream: Stream, error: HandshakeError) -> HandshakeError {
    tell(&mut stream, &error).await;
    error
}
