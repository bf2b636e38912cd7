//! The console: PostgreSQL's protocol for those who run the sidecar, so that psql shows what goes on in it.
//!
//! ```text
//! door ─ front (start-up, Query) ─→ command (what was typed) ─→ views (rows, from the workers by message) ─→ result ─→ psql
//! ```
//!
//! It names users, so it listens on a Unix socket for this user and root alone, beside the control socket. It lives on
//! the control thread; what it wants of the workers it asks by message, and gets no more rows than it shows.

pub mod client;
pub mod columns;
mod command;
mod door;
mod front;
mod result;
mod rows;
mod views;

use std::sync::Arc;

use thiserror::Error;

use super::AdminState;
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
    /// The workers have ended.
    #[error("the sidecar is ending")]
    Ending,
}

impl Console {
    /// Carries a command out, and appends its answer.
    ///
    /// # Errors
    /// Why it was not.
    async fn carry_out(&self, command: Command, out: &mut Vec<u8>) -> Result<(), ConsoleError> {
        match command {
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
            Self::Silent { .. } => (SqlState::QUERY_CANCELED, "Try again.".to_owned()),
            Self::Ending => (
                SqlState::ADMIN_SHUTDOWN,
                "Connect again when it is back.".to_owned(),
            ),
        };
        ErrorResponse::error(code, self.to_string()).with_hint(hint)
    }
}
