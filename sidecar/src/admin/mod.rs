//! What operators of the sidecar see and may ask, over three doors.
//!
//! - [`port`]: a TCP port with metrics, health, readiness and the revision. Nothing there names a user or changes anything.
//! - [`control`]: a Unix socket for this user and root, with the users, the policy with its origins, and drain.
//! - [`console`]: another one that speaks PostgreSQL's protocol, for psql.
//!
//! The first two answer HTTP/1.1 through [`server`], which bounds what a client may hold. What a user is, only the engine knows: it
//! answers through [`Inventory`].

pub mod client;
pub mod console;
pub mod control;
mod idle;
mod inventory;
pub mod paths;
pub mod port;
mod private;
mod readiness;
mod reply;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Notify;

pub use inventory::{
    ApplicationRow, AttributionCounts, ExecutionRow, ExecutionsReport, Inventory, RevocationRow,
    RevocationsReport, UserRow, UsersReport,
};
pub use readiness::Readiness;

use crate::audit::Trail;
use crate::identity::Revocations;
use crate::policy::{PolicyStore, RevocationStanding};
use crate::telemetry::Metrics;

/// What the doors answer from.
#[derive(Clone)]
pub struct AdminState {
    /// For `/metrics`, and the inventory of applications.
    pub metrics: Arc<Metrics>,
    /// For `/revision` and `/policy`.
    pub store: Arc<PolicyStore>,
    /// For `/revocations`, and in `/revision` which list is in force.
    pub revocations: Arc<Revocations>,
    /// Which list was refused.
    pub revocation_standing: Arc<RevocationStanding>,
    /// For `/readyz`.
    pub readiness: Arc<Readiness>,
    /// For `/users`.
    pub inventory: Arc<dyn Inventory>,
    /// Where what operators do is recorded.
    pub trail: Arc<Trail>,
    /// Notified once for each request to drain; a request that comes before anybody waits is kept.
    pub drain: Arc<Notify>,
}

/// Why a door could not be opened, or a running sidecar not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The TCP port.
    #[error(
        "--admin {address}: cannot listen: {source}; choose another address or port with --admin (with port 0 the kernel chooses, and the log says which)"
    )]
    Listen {
        /// What was asked for.
        address: port::AdminAddress,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another sidecar answers on the socket.
    #[error("{flag} {path}: a running sidecar answers there; give each sidecar a socket of its own", path = path.display())]
    ControlInUse {
        /// The flag that names it.
        flag: &'static str,
        /// The socket.
        path: std::path::PathBuf,
    },
    /// Something that is no socket is in the way.
    #[error("{flag} {path}: there is a file that is not a socket; remove it or choose another path", path = path.display())]
    NotASocket {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: std::path::PathBuf,
    },
    /// The directory above the socket's own is not there.
    #[error("{flag} {path}: there is no directory for it; create it, or mend the path", path = path.display())]
    NoDirectory {
        /// The flag that names it.
        flag: &'static str,
        /// The socket.
        path: std::path::PathBuf,
    },
    /// The socket's directory can be written by others.
    #[error("{flag} {path}: {directory} belongs to another user; choose a directory of your own", path = path.display(), directory = directory.display())]
    ForeignDirectory {
        /// The flag that names it.
        flag: &'static str,
        /// The socket.
        path: std::path::PathBuf,
        /// Its directory.
        directory: std::path::PathBuf,
    },
    /// The socket.
    #[error("{flag} {path}: cannot {what}: {source}", path = path.display())]
    Control {
        /// The flag that names it.
        flag: &'static str,
        /// The socket.
        path: std::path::PathBuf,
        /// The step that failed.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody answers on the socket.
    #[error("--control {path}: no sidecar answers there ({source}); is it running, and with this --control?", path = path.display())]
    NoSidecar {
        /// The socket.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The console's port.
    #[error("--console-listen {address}: cannot listen: {source}; choose another port")]
    ConsoleListen {
        /// What was asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The console's token.
    #[error("--console-token {path}: {reason}; write one of at least 16 random characters, such as `openssl rand -hex 32` makes", path = path.display())]
    ConsoleToken {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers on the console's socket.
    #[error("console {path}: no sidecar answers there ({source}); is it running, and with this --control or --console?", path = path.display())]
    NoConsole {
        /// The socket.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The exchange with the console broke off, or it refused.
    #[error("the console's answer broke off: {reason}")]
    BrokenConsole {
        /// What went wrong, or what it said.
        reason: String,
    },
    /// The exchange over the socket broke off.
    #[error("--control {path}: the sidecar's answer broke off: {reason}", path = path.display())]
    BrokenAnswer {
        /// The socket.
        path: std::path::PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The sidecar refused.
    #[error("--control {path}: the sidecar answered {status}: {text}", path = path.display())]
    Refused {
        /// The socket.
        path: std::path::PathBuf,
        /// The HTTP status.
        status: u16,
        /// What it said.
        text: String,
    },
}
