//! Why a client's start-up has failed, and what the client is told about it: the one place where both meet.

use std::io;

use thiserror::Error;

use super::options::OptionsError;
use crate::protocol::postgres::codec::ProtocolError;
use crate::protocol::postgres::error_response::{ErrorResponse, SqlState};
use crate::protocol::postgres::message::{MALFORMED_CANCEL, ProtocolVersion};
use crate::protocol::postgres::scram::ScramError;

/// Why a start-up, or the making of what it needs, has failed. No variant holds a value that the client has sent, but for
/// names of parameters.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The client went away. Health checks and port scanners do; nobody need be told.
    #[error("the client went away during its start-up")]
    Closed,
    /// The socket failed.
    #[error("the client's socket failed during its start-up: {0}")]
    Io(io::Error),
    /// The TLS handshake failed.
    #[error("the TLS handshake with the client failed: {0}")]
    Tls(io::Error),
    /// The listener's certificate or key cannot be used.
    #[error("the certificate or its key cannot be used: {0}")]
    Certificate(String),
    /// A length that no start-up packet has: most likely another protocol.
    #[error("invalid length of start-up packet: {0}")]
    Length(u32),
    /// A message that the protocol does not allow.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// An encryption request where none may come any more.
    #[error("{0} was sent more than once, or over an encrypted connection")]
    Repeated(&'static str),
    /// Bytes behind an encryption request: a man in the middle may have put them there.
    #[error("received unencrypted data behind {0}")]
    EarlyBytes(&'static str),
    /// TLS from the first byte, without saying that PostgreSQL is meant.
    #[error("received a direct TLS connection without the application protocol \"postgresql\"")]
    NoApplicationProtocol,
    /// A major version other than 3.
    #[error("unsupported frontend protocol {0}: the versions 3.0 to 3.2 are supported")]
    UnsupportedVersion(ProtocolVersion),
    /// No user name.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// A parameter that may come once only, because it says who is calling.
    #[error("parameter \"{0}\" was sent more than once")]
    Duplicate(String),
    /// A text that is not UTF-8.
    #[error("parameter \"{0}\" is not valid UTF-8")]
    Encoding(String),
    /// A name that no run-time parameter can have.
    #[error("unrecognized configuration parameter \"{0}\"")]
    ParameterName(String),
    /// A name in Bulkhead's own space that means nothing.
    #[error("unrecognized parameter \"{name}\"")]
    Reserved {
        /// The name sent.
        name: String,
        /// The known name that is most like it.
        nearest: &'static str,
    },
    /// `replication` is neither a truth value nor `database`.
    #[error("invalid value for parameter \"replication\"")]
    Replication,
    /// `options` cannot be read.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The client did not prove that it knows the password.
    #[error(transparent)]
    Scram(#[from] ScramError),
    /// The operating system gave no random bytes.
    #[error("no random bytes for the authentication")]
    Randomness,
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl HandshakeError {
    /// What the client is told; `None` where it is gone, or where nobody knows whether it speaks this protocol at all.
    #[must_use]
    pub fn response(&self) -> Option<ErrorResponse> {
        if matches!(self, Self::Protocol(error) if *error == MALFORMED_CANCEL) {
            return None;
        }
        let code = self.code()?;
        let response = ErrorResponse::fatal(code, self.to_string());
        Some(match self {
            Self::Reserved { nearest, .. } => {
                response.with_hint(format!("Perhaps you meant \"{nearest}\"."))
            }
            Self::Options(_) => response
                .with_hint("Use -c name=value or --name=value; a space in a value is written \\ ."),
            Self::Replication => {
                response.with_hint("Valid values are: \"false\", 0, \"true\", 1, \"database\".")
            }
            _ => response,
        })
    }

    const fn code(&self) -> Option<SqlState> {
        Some(match self {
            Self::Closed | Self::Io(_) | Self::Tls(_) | Self::Certificate(_) | Self::Length(_) => {
                return None;
            }
            Self::Protocol(_)
            | Self::Repeated(_)
            | Self::EarlyBytes(_)
            | Self::NoApplicationProtocol
            | Self::Duplicate(_) => SqlState::PROTOCOL_VIOLATION,
            Self::UnsupportedVersion(_) => SqlState::FEATURE_NOT_SUPPORTED,
            Self::NoUser => SqlState::INVALID_AUTHORIZATION,
            Self::Encoding(_) => SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            Self::ParameterName(_) | Self::Reserved { .. } => SqlState::UNDEFINED_OBJECT,
            Self::Replication => SqlState::INVALID_PARAMETER_VALUE,
            Self::Options(OptionsError::UnsupportedSwitch { .. }) => {
                SqlState::FEATURE_NOT_SUPPORTED
            }
            Self::Options(_) => SqlState::SYNTAX_ERROR,
            Self::Scram(ScramError::Proof) => SqlState::INVALID_PASSWORD,
            Self::Scram(ScramError::Downgrade | ScramError::ChannelBinding) => {
                SqlState::INVALID_AUTHORIZATION
            }
            Self::Scram(_) => SqlState::PROTOCOL_VIOLATION,
            Self::Randomness => SqlState::INTERNAL_ERROR,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_speak_the_protocol_is_told_nothing() {
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(HandshakeError::from(broken).response().is_none());
        assert!(HandshakeError::Length(0x1603_0100).response().is_none());
    }

    #[test]
    fn a_refusal_is_fatal_and_has_a_code_and_a_hint() {
        let error = HandshakeError::Reserved {
            name: "bulkhead.usr".to_owned(),
            nearest: "bulkhead.user",
        };
        let response = error.response().unwrap();
        assert_eq!(response.code, SqlState::UNDEFINED_OBJECT);
        assert_eq!(response.message, "unrecognized parameter \"bulkhead.usr\"");
        assert_eq!(
            response.hint.as_deref(),
            Some("Perhaps you meant \"bulkhead.user\".")
        );
    }

    #[test]
    fn postgresql_s_own_codes_are_kept() {
        let code = |error: HandshakeError| error.response().unwrap().code.to_string();
        assert_eq!(code(HandshakeError::NoUser), "28000");
        assert_eq!(code(HandshakeError::Scram(ScramError::Proof)), "28P01");
        let version = ProtocolVersion { major: 2, minor: 0 };
        assert_eq!(code(HandshakeError::UnsupportedVersion(version)), "0A000");
    }
}
