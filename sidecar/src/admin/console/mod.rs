//! The console: PostgreSQL's protocol for those who run the sidecar, so that psql shows what goes on in it.
//!
//! ```text
//! door ─ front (start-up, Query) ─→ command (what was typed) ─→ views (rows, from the workers by message) ─→ result ─→ psql
//! ```
//!
//! It names users, so it listens on a Unix socket for this user and root alone, beside the control socket. It lives on
//! the control thread; what it wants of the workers it asks by message, and gets no more rows than it shows.

mod act;
mod audit;
pub mod client;
pub mod columns;
mod command;
mod door;
mod front;
mod result;
mod rows;
mod token;
mod views;

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;

use super::AdminState;
use super::private::Peer;
use crate::identity::IdError;
use crate::process::Process;
use crate::protocol::postgres::error_response::{ErrorResponse, SqlState};
use command::{Command, Misread};
pub use door::{ConsoleDoor, SOCKET};
pub use rows::{Cell, MOST_ROWS, Rows};
pub use views::Look;

/// What the console answers from.
#[derive(Clone)]
pub struct Console {
    /// Metrics and policy.
    pub admin: AdminState,
    /// The workers.
    pub process: Arc<Process>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody on this machine, as the kernel says.
    Unix(Peer),
    /// Somebody at this address who has the token.
    Token(SocketAddr),
}

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub enum ConsoleError {
    /// It is none.
    #[error("{}", .0.message)]
    Misread(Misread),
    /// A worker does not answer.
    #[error("worker {worker} does not answer; it may be very busy")]
    Silent {
        /// Which one.
        worker: usize,
    },
    /// The policy has no such entry.
    #[error("the policy has no entry {name:?}")]
    NoUpstream {
        /// What was typed.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// There is no database to steer.
    #[error("the policy has no databases")]
    NoDatabases,
    /// What was typed can be nobody's id.
    #[error("this is no user's id: {0}")]
    NoUser(IdError),
    /// There is nothing left to pause.
    #[error("it is paused already")]
    AlreadyPaused,
    /// There is nothing to resume.
    #[error("it is not paused")]
    NotPaused,
    /// Somebody has resumed it before it was at rest.
    #[error("the pause was ended by a RESUME before everything was at rest")]
    Resumed,
    /// The workers have ended.
    #[error("the sidecar is ending")]
    Ending,
}

impl Console {
    /// Carries a command out, and appends its answer.
    ///
    /// # Errors
    /// Why it was not.
    async fn carry_out(
        &self,
        caller: &Caller,
        command: Command,
        out: &mut Vec<u8>,
    ) -> Result<(), ConsoleError> {
        match command {
            Command::Do(action) => act::perform(self, caller, &action, out).await?,
            Command::Show(view) => {
                let rows = views::rows(self, view).await?;
                result::write_rows(view, rows, out);
            }
        }
        Ok(())
    }
}

impl ConsoleError {
    /// As the client is told.
    fn response(&self) -> ErrorResponse {
        let (code, hint) = match self {
            Self::Misread(misread) => (SqlState::SYNTAX_ERROR, misread.hint.clone()),
            Self::NoUpstream { known, .. } => {
                (SqlState::UNDEFINED_OBJECT, format!("There is {known}."))
            }
            Self::NoDatabases => (
                SqlState::UNDEFINED_OBJECT,
                "WebSockets are steered by KILL USER alone.".to_owned(),
            ),
            Self::NoUser(_) => (
                SqlState::INVALID_PARAMETER_VALUE,
                "SHOW USERS lists the users.".to_owned(),
            ),
            Self::AlreadyPaused => (SqlState::NOT_IN_STATE, "RESUME ends a pause.".to_owned()),
            Self::NotPaused => (
                SqlState::NOT_IN_STATE,
                "SHOW STATS says what is paused.".to_owned(),
            ),
            Self::Resumed => (SqlState::QUERY_CANCELED, "PAUSE begins another.".to_owned()),
            Self::Silent { .. } => (SqlState::QUERY_CANCELED, "Try again.".to_owned()),
            Self::Ending => (
                SqlState::ADMIN_SHUTDOWN,
                "Connect again when it is back.".to_owned(),
            ),
        };
        ErrorResponse::error(code, self.to_string()).with_hint(hint)
    }
}
