//! The socket and the port, and how many may be at it at a time.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::token::{Token, TokenPort};
use super::{Caller, Console, front};
use crate::admin::AdminError;
use crate::admin::port::ACCEPT_PAUSE;
use crate::admin::private::{Peer, PrivateSocket};
use crate::protocol::postgres::error_response::{ErrorResponse, SqlState};

/// The socket's name in its folder: where `psql -h FOLDER` looks without being told a port.
pub const SOCKET: &str = ".s.PGSQL.5432";

/// Connections at one time at each of the two, those that are being turned away excluded.
const MOST_CONNECTIONS: usize = 8;

/// The bound console. Dropping it removes its socket.
#[derive(Debug, Default)]
pub struct ConsoleDoor {
    socket: Option<PrivateSocket>,
    port: Option<TokenPort>,
}

impl ConsoleDoor {
    /// Binds the socket [`SOCKET`] in `folder`, with permissions 0600, in the place of one that nobody answers on. Needs a tokio
    /// runtime around it.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub fn open_socket(&mut self, folder: &Path) -> Result<(), AdminError> {
        self.socket = Some(PrivateSocket::bind("--console", &folder.join(SOCKET))?);
        Ok(())
    }

    /// Binds a loopback address, for those that have the token in the file `token`. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub fn open_port(&mut self, address: SocketAddr, token: &Path) -> Result<(), AdminError> {
        let port = TokenPort::bind(address, token)?;
        if let Ok(address) = port.address() {
            tracing::info!(%address, "the console is open to who has the token");
        }
        self.port = Some(port);
        Ok(())
    }

    /// Answers until it is dropped; never returns by itself. Dropping it ends its connections.
    pub async fn serve(self, console: Console) {
        let console = Arc::new(console);
        // Whoever holds places at the port without a token must not keep the owner out of the socket.
        let (mut at_socket, mut at_port) = (Guests::default(), Guests::default());
        loop {
            let arrival = tokio::select! {
                arrival = next_at_socket(self.socket.as_ref()) => arrival,
                arrival = next_at_port(self.port.as_ref()) => arrival,
            };
            match arrival {
                Ok(Arrival::Unix(stream, Some(peer))) => {
                    at_socket.take(stream, &console, Caller::Unix(peer), None);
                }
                Ok(Arrival::Unix(stream, None)) => {
                    tracing::warn!("console: another user was turned away");
                    at_socket.turn_away(stream, stranger());
                }
                Ok(Arrival::Tcp(stream, address, token)) => {
                    at_port.take(stream, &console, Caller::Token(address), Some(token));
                }
                Err(error) => {
                    tracing::warn!(%error, "console: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Somebody has come.
enum Arrival {
    /// To the socket; who, if they may.
    Unix(UnixStream, Option<Peer>),
    /// To the port, with what they must know.
    Tcp(TcpStream, SocketAddr, Token),
}

async fn next_at_socket(socket: Option<&PrivateSocket>) -> io::Result<Arrival> {
    match socket {
        Some(socket) => {
            let (stream, peer) = socket.accept().await?;
            Ok(Arrival::Unix(stream, peer))
        }
        None => std::future::pending().await,
    }
}

async fn next_at_port(port: Option<&TokenPort>) -> io::Result<Arrival> {
    match port {
        Some(port) => {
            let (stream, address) = port.accept().await?;
            Ok(Arrival::Tcp(stream, address, port.token.clone()))
        }
        None => std::future::pending().await,
    }
}

/// Who is connected to one of the two. Dropping it ends them.
#[derive(Debug, Default)]
struct Guests {
    served: JoinSet<()>,
    refused: JoinSet<()>,
}

impl Guests {
    fn take<S>(&mut self, stream: S, console: &Arc<Console>, caller: Caller, token: Option<Token>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        while self.served.try_join_next().is_some() {}
        if self.served.len() >= MOST_CONNECTIONS {
            self.turn_away(stream, full());
            return;
        }
        let console = Arc::clone(console);
        self.served
            .spawn(async move { front::converse(stream, &console, &caller, token.as_ref()).await });
    }

    /// Tells a client why it is not served. Beyond so many at a time it is not told.
    fn turn_away<S>(&mut self, stream: S, why: ErrorResponse)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        while self.refused.try_join_next().is_some() {}
        if self.refused.len() < MOST_CONNECTIONS {
            self.refused.spawn(front::turn_away(stream, why));
        }
    }
}

fn stranger() -> ErrorResponse {
    ErrorResponse::fatal(
        SqlState::INVALID_AUTHORIZATION,
        "the console is for root and the user that the sidecar runs as",
    )
}

fn full() -> ErrorResponse {
    ErrorResponse::fatal(
        SqlState::TOO_MANY_CONNECTIONS,
        format!("{MOST_CONNECTIONS} consoles are open, and no more are served"),
    )
    .with_hint("Close one of them; one that does nothing is closed after 10 minutes.")
}
