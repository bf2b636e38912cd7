//! The listening sockets: one for each address that the policy names, TCP and Unix, opened once and shared by the workers.
//!
//! Database entries that name the same address share its socket.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::effective::EffectiveListen;
use bulkhead_crds::kinds::Protocol;
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};

use super::socket::{self, SocketFile};
use crate::force::{DatabaseForce, Force, WebSocketForce};
use crate::listen::{listen, listen_everywhere};
use crate::stream::Stream;

/// Connections that the kernel holds for a busy listener.
pub(super) const BACKLOG: i32 = 1024;

/// The silence of a client's kernel after which it is probed. With [`CLIENT_PROBES`], one that is gone is noticed in a minute.
const CLIENT_SILENCE: Duration = Duration::from_secs(30);

/// Between two probes; the third that is not answered ends the connection.
const CLIENT_PROBES: Duration = Duration::from_secs(10);

/// A listening socket that workers share.
#[derive(Debug)]
pub struct Listener {
    /// The entries that it belongs to, in the policy's order; none for that of other pods.
    pub entries: Vec<Arc<str>>,
    /// What comes there.
    pub(super) traffic: Traffic,
    socket: Socket,
}

/// What comes to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// The application, on its way to a database of this protocol.
    Database(Protocol),
    /// Clients, on their way to the application.
    WebSocket,
    /// Other pods, on behalf of clients whose sessions live here.
    Peers,
}

#[derive(Debug)]
enum Socket {
    Tcp(StdTcpListener),
    Unix(StdUnixListener, PathBuf),
}

/// The listeners of a policy. Dropping it removes the files of the Unix sockets.
#[derive(Debug)]
pub struct Listeners {
    /// All of them.
    pub all: Vec<Listener>,
    files: Vec<SocketFile>,
}

/// A listener could not be opened.
#[derive(Debug, Error)]
#[error("{list}[{entry}].listen: cannot listen on {place}: {source}{advice}")]
pub struct ListenError {
    /// `databases` or `webSockets`.
    list: &'static str,
    entry: String,
    place: String,
    source: io::Error,
    advice: &'static str,
}

/// The port for other pods could not be opened.
#[derive(Debug, Error)]
#[error(
    "--peer-port {port}: cannot listen: {source}; another program has the port: give another one"
)]
pub struct PeerListenError {
    port: u16,
    source: io::Error,
}

/// A listener that one worker accepts from.
#[derive(Debug)]
pub(super) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listeners {
    /// Opens the listeners of a policy.
    ///
    /// # Errors
    /// An address is in use, or not this host's; a folder for a socket is missing or may not be written.
    pub fn open(force: &Force) -> Result<Self, ListenError> {
        let mut listeners = Self {
            all: Vec::new(),
            files: Vec::new(),
        };
        for database in &force.databases {
            listeners.open_tcp(database)?;
            if let Some(folder) = &database.settings.listen.socket {
                listeners.open_unix(database, Path::new(folder))?;
            }
        }
        for web_socket in &force.web_sockets {
            listeners.open_web_socket(web_socket)?;
        }
        Ok(listeners)
    }

    /// Opens the port for other pods.
    ///
    /// # Errors
    /// The port is in use.
    pub fn open_peers(&mut self, port: u16) -> Result<(), PeerListenError> {
        let socket =
            listen_everywhere(port, BACKLOG).map_err(|source| PeerListenError { port, source })?;
        self.all.push(Listener {
            entries: Vec::new(),
            traffic: Traffic::Peers,
            socket: Socket::Tcp(socket),
        });
        Ok(())
    }

    fn open_web_socket(&mut self, web_socket: &WebSocketForce) -> Result<(), ListenError> {
        let port = web_socket.settings.port;
        let socket = listen_everywhere(port, BACKLOG).map_err(|source| ListenError {
            list: "webSockets",
            entry: web_socket.name.to_string(),
            place: format!("port {port}"),
            advice: advice_for_tcp(&source),
            source,
        })?;
        self.all.push(Listener {
            entries: vec![Arc::clone(&web_socket.name)],
            traffic: Traffic::WebSocket,
            socket: Socket::Tcp(socket),
        });
        Ok(())
    }

    fn open_tcp(&mut self, database: &DatabaseForce) -> Result<(), ListenError> {
        let EffectiveListen { address, port, .. } = database.settings.listen;
        let address = SocketAddr::new(address, port);
        let shared = |listener: &Listener| matches!(&listener.socket, Socket::Tcp(socket) if socket.local_addr().is_ok_and(|known| known == address));
        if self.join(database, shared) {
            return Ok(());
        }
        let socket = listen(address, BACKLOG).map_err(|source| ListenError {
            list: "databases",
            entry: database.name.to_string(),
            place: address.to_string(),
            advice: advice_for_tcp(&source),
            source,
        })?;
        if let Err(error) = watch_clients(&socket) {
            tracing::debug!(%error, "clients that vanish are not looked for");
        }
        self.add(database, Socket::Tcp(socket));
        Ok(())
    }

    fn open_unix(&mut self, database: &DatabaseForce, folder: &Path) -> Result<(), ListenError> {
        let failed = |path: &Path| {
            let (entry, place) = (database.name.to_string(), path.display().to_string());
            move |source| ListenError {
                list: "databases",
                entry,
                place,
                advice: socket::advice(&source),
                source,
            }
        };
        let port = self.port_of(database).map_err(failed(folder))?;
        let path = folder.join(socket_name(database.settings.protocol, port));
        let shared = |listener: &Listener| matches!(&listener.socket, Socket::Unix(_, known) if *known == path);
        if self.join(database, shared) {
            return Ok(());
        }
        let (socket, file) = socket::bind(&path).map_err(failed(&path))?;
        self.files.push(file);
        self.add(database, Socket::Unix(socket, path));
        Ok(())
    }

    /// The port that names an entry's Unix socket: the one that its TCP socket has got.
    fn port_of(&self, database: &DatabaseForce) -> io::Result<u16> {
        let of_entry = self
            .all
            .iter()
            .filter(|one| one.entries.contains(&database.name));
        for listener in of_entry {
            if let Socket::Tcp(socket) = &listener.socket {
                return Ok(socket.local_addr()?.port());
            }
        }
        Ok(database.settings.listen.port)
    }

    /// Whether there is such a listener already; the entry shares it then.
    fn join(&mut self, database: &DatabaseForce, is_it: impl Fn(&Listener) -> bool) -> bool {
        let traffic = Traffic::Database(database.settings.protocol);
        let mut databases = self
            .all
            .iter_mut()
            .filter(|listener| listener.traffic == traffic);
        let known = databases.find(|listener| is_it(listener));
        known.is_some_and(|listener| {
            listener.entries.push(Arc::clone(&database.name));
            true
        })
    }

    fn add(&mut self, database: &DatabaseForce, socket: Socket) {
        self.all.push(Listener {
            entries: vec![Arc::clone(&database.name)],
            traffic: Traffic::Database(database.settings.protocol),
            socket,
        });
    }

    /// The files of the Unix sockets, for whoever outlives the sockets.
    #[must_use]
    pub fn into_files(self) -> Vec<SocketFile> {
        self.files
    }
}

impl Listener {
    /// The same listener for another worker.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self {
            entries: self.entries.clone(),
            traffic: self.traffic,
            socket: match &self.socket {
                Socket::Tcp(socket) => Socket::Tcp(socket.try_clone()?),
                Socket::Unix(socket, path) => Socket::Unix(socket.try_clone()?, path.clone()),
            },
        })
    }

    /// The address that it has got, or its socket's path.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn place(&self) -> io::Result<String> {
        match &self.socket {
            Socket::Tcp(socket) => Ok(socket.local_addr()?.to_string()),
            Socket::Unix(_, path) => Ok(path.display().to_string()),
        }
    }

    /// Hands the socket to this worker's runtime.
    pub(super) fn into_accepting(self) -> io::Result<Accepting> {
        match self.socket {
            Socket::Tcp(socket) => TcpListener::from_std(socket).map(Accepting::Tcp),
            Socket::Unix(socket, _) => UnixListener::from_std(socket).map(Accepting::Unix),
        }
    }
}

impl Accepting {
    /// The next client. Cancel-safe: a client that is not taken stays with the kernel.
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(socket) => Ok(Stream::Tcp(socket.accept().await?.0)),
            Self::Unix(socket) => Stream::unix(socket.accept().await?.0),
        }
    }
}

/// Has the kernel look for clients that are silent: a connection takes these settings over from the socket that accepts it. An
/// application that dies says so, but what stands between it and the sidecar may be lost without a word (a port-forward, a proxy of
/// the container runtime's).
fn watch_clients(socket: &StdTcpListener) -> io::Result<()> {
    SockRef::from(socket).set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(CLIENT_SILENCE)
            .with_interval(CLIENT_PROBES)
            .with_retries(3),
    )
}

/// The name of a Unix socket in its folder: where clients of PostgreSQL look for it, and for the others one that says whose it is.
fn socket_name(protocol: Protocol, port: u16) -> String {
    match protocol {
        Protocol::PostgreSQL => format!(".s.PGSQL.{port}"),
        Protocol::Redis => format!("redis.{port}.sock"),
        Protocol::ClickHouse => format!("clickhouse.{port}.sock"),
    }
}

fn advice_for_tcp(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program has the port: change listen.port or listen.address"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this host does not have the address (macOS has no loopback address but 127.0.0.1): change listen.address"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports under 1024 need a privilege: change listen.port"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_accepted_is_watched() {
        let listener = StdTcpListener::bind("127.0.0.1:0").unwrap();
        watch_clients(&listener).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), CLIENT_SILENCE);
    }
}
