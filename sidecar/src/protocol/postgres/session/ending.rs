//! Why a session ends.

use std::borrow::Cow;

use super::super::codec::ProtocolError;
use super::super::error_response::{ErrorResponse, Severity, SqlState};
use super::in_sql::Moving;

/// Why a session ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The client has said goodbye or gone.
    ClientGone,
    /// The client is told, and the connection closed.
    Fatal(Box<ErrorResponse>),
    /// The server's own FATAL, as it stands, is the last word.
    ServerFatal(Vec<u8>),
    /// A message to the client was cut off: whatever it were told now it would take for the rest of that.
    CutOff,
    /// The client goes on with the worker of its user.
    Moves(Box<Moving>),
}

impl From<ProtocolError> for Ending {
    fn from(error: ProtocolError) -> Self {
        Self::fatal(SqlState::PROTOCOL_VIOLATION, error.to_string())
    }
}

impl Ending {
    /// The client is told this.
    pub(super) fn fatal(code: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Fatal(Box::new(ErrorResponse::new(Severity::Fatal, code, message)))
    }

    /// The sidecar leaves.
    pub(super) fn drained() -> Self {
        Self::fatal(
            SqlState::ADMIN_SHUTDOWN,
            "terminating connection because the sidecar is shutting down",
        )
    }
}
