//! What went wrong, for the client of the HTTP API. Here alone an answer of the database becomes a status.

use hyper::StatusCode;
use tokio_postgres::error::SqlState;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request does not say who the user is.
    #[error(
        "the header that says who the user is (x-chat-user, of the room x-bulkhead-user) is missing, or not text"
    )]
    Nobody,
    /// The request is not understood.
    #[error("{0}")]
    Request(&'static str),
    /// No such path.
    #[error("there are /, /messages, /report, /room and /healthz")]
    Path,
    /// What the sidecar or the database answered.
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
}

impl Failure {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Nobody => StatusCode::UNAUTHORIZED,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Database(error) => match error.code() {
                Some(&SqlState::QUERY_CANCELED) => StatusCode::GATEWAY_TIMEOUT,
                Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => StatusCode::FORBIDDEN,
                Some(_) => StatusCode::INTERNAL_SERVER_ERROR,
                None => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// The SQLSTATE, where a server answered.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.code().map(SqlState::code),
            _ => None,
        }
    }

    /// What happened, in the words of whoever refused.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Database(error) => error
                .as_db_error()
                .map_or_else(|| chain(error), |answer| answer.message().to_owned()),
            own => own.to_string(),
        }
    }
}

/// An error with its causes: tokio-postgres says "error connecting to server", and its cause says why.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
