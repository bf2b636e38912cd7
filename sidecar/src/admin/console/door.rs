//! The socket, and how many may be at it at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::{Caller, Console, front};
use crate::admin::AdminError;
use crate::admin::port::ACCEPT_PAUSE;
use crate::admin::private::PrivateSocket;
use crate::protocol::postgres::error_response::{ErrorResponse, SqlState};

/// The socket's name in its folder: where `psql -h FOLDER` looks without being told a port.
pub const SOCKET: &str = ".s.PGSQL.5432";

/// Connections at one time, those that are being turned away excluded.
const MOST_CONNECTIONS: usize = 8;

/// The bound console. Dropping it removes its socket.
#[derive(Debug)]
pub struct ConsoleDoor {
    socket: PrivateSocket,
    path: PathBuf,
}

impl ConsoleDoor {
    /// Binds the socket [`SOCKET`] in `folder`, with permissions 0600, in the place of one that nobody answers on. Needs a tokio
    /// runtime around it.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub fn bind(folder: &Path) -> Result<Self, AdminError> {
        let path = folder.join(SOCKET);
        let socket = PrivateSocket::bind("--console", &path)?;
        Ok(Self { socket, path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers until it is dropped; never returns by itself. Dropping it ends its connections.
    pub async fn serve(self, console: Console) {
        let console = Arc::new(console);
        let mut guests = Guests::default();
        loop {
            match self.socket.accept().await {
                Ok((stream, Some(peer))) => guests.take(stream, &console, Caller::Unix(peer)),
                Ok((stream, None)) => {
                    tracing::warn!("console: another user was turned away");
                    guests.turn_away(stream, stranger());
                }
                Err(error) => {
                    tracing::warn!(%error, "console: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Who is connected. Dropping it ends them.
#[derive(Debug, Default)]
struct Guests {
    served: JoinSet<()>,
    refused: JoinSet<()>,
}

impl Guests {
    fn take<S>(&mut self, stream: S, console: &Arc<Console>, caller: Caller)
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
            .spawn(async move { front::converse(stream, &console, &caller).await });
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
