//! A client's start-up: from its first byte to a login that says who it is, or to a cancel request.
//!
//! The stations: [`receive`](mod@receive) (encryption requests, TLS, the start-up packet), [`login`] and [`options`] (what the packet
//! says), [`authenticate`](mod@authenticate) (SCRAM, where the policy asks for it), [`error`] (what a client is told when it fails). May not
//! live here: whether the user context is valid, and anything that comes after `AuthenticationOk`.

mod authenticate;
mod error;
pub mod login;
pub mod options;
mod receive;
mod redacted;
mod refusal;
mod role;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;

pub use authenticate::{ClientAuth, authenticate};
pub use error::HandshakeError;
pub use receive::receive;
pub use redacted::Redacted;
pub use role::split_role;
pub use tls::{EndPoint, ListenTls};

pub use super::message::{CancelKey, ProtocolVersion};
pub use super::scram::ScramVerifier;
use crate::stream::Stream;

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Arrival {
    /// Somebody wants a statement to be cancelled. No answer is ever given: that the connection closes says that it has been dealt with.
    Cancel(CancelKey, Box<Stream>),
    /// A client that would like to log in.
    Login(Box<Login>),
}

/// A client whose start-up packet has been read, and nothing behind it.
pub struct Login {
    /// The connection.
    pub stream: Stream,
    /// The hash of the certificate that the client was shown, for [`authenticate`](fn@authenticate).
    pub end_point: Option<EndPoint>,
    /// The version in force: 3.0, 3.1 (which means 3.0) or 3.2.
    pub protocol: ProtocolVersion,
    /// `user` as sent; see [`split_role`].
    pub user: String,
    /// `database` as sent, or `user` where there is none; see [`Login::database_for`].
    pub database: String,
    /// Run-time parameters in the order in which PostgreSQL applies them: those of `options`, then the packet's own. Without
    /// what has a field here. Names are identifiers divided by dots; a repeated one counts as the last says.
    pub parameters: Vec<(String, String)>,
    /// `bulkhead.context`.
    pub context_token: Option<Redacted>,
    /// `bulkhead.user`.
    pub asserted_user: Option<String>,
    /// Whether a replication connection is asked for.
    pub replication: bool,
}

impl Login {
    /// The database, when `user` stands for `role`. Clients name a database that is called like the user when they are not
    /// told another (libpq does so itself): with `role+ID` the role's is meant.
    #[must_use]
    pub fn database_for<'a>(&'a self, role: &'a str) -> &'a str {
        if self.database == self.user {
            role
        } else {
            &self.database
        }
    }
}

/// Names and values of parameters stay out.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("protocol", &self.protocol)
            .field("database", &self.database)
            .field("parameters", &self.parameters.len())
            .finish_non_exhaustive()
    }
}
