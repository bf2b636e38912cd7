//! The sidecar's own errors and notices, in wire form.
//!
//! A reader must see who speaks: the message begins with `bulkhead: ` and the routine field is `bulkhead`. The server's own
//! errors pass unchanged and never through here. What each failure says is its room's business.

use std::borrow::Cow;
use std::fmt;

use super::message::Field;
use super::message::frame;

/// What every message of the sidecar's own begins with.
const SPEAKER: &str = "bulkhead: ";

/// The routine field of every message of the sidecar's own.
const ROUTINE: &str = "bulkhead";

/// The most bytes of one text that are sent; the rest is cut off, so that a message echoing input stays small.
const MAX_TEXT: usize = 2048;

/// A SQLSTATE: five upper-case letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// A code by its five characters.
    #[must_use]
    pub const fn new(code: [u8; 5]) -> Self {
        Self(code)
    }

    /// The five characters.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 5] {
        &self.0
    }

    /// `successful_completion`: a notice.
    pub const SUCCESS: Self = Self(*b"00000");
    /// `feature_not_supported`.
    pub const FEATURE_NOT_SUPPORTED: Self = Self(*b"0A000");
    /// `protocol_violation`.
    pub const PROTOCOL_VIOLATION: Self = Self(*b"08P01");
    /// `sqlclient_unable_to_establish_sqlconnection`.
    pub const UNABLE_TO_CONNECT: Self = Self(*b"08001");
    /// `connection_failure`.
    pub const CONNECTION_FAILURE: Self = Self(*b"08006");
    /// `invalid_parameter_value`.
    pub const INVALID_PARAMETER_VALUE: Self = Self(*b"22023");
    /// `character_not_in_repertoire`.
    pub const CHARACTER_NOT_IN_REPERTOIRE: Self = Self(*b"22021");
    /// `active_sql_transaction`.
    pub const ACTIVE_TRANSACTION: Self = Self(*b"25001");
    /// `no_active_sql_transaction`.
    pub const NO_ACTIVE_TRANSACTION: Self = Self(*b"25P01");
    /// `in_failed_sql_transaction`.
    pub const IN_FAILED_TRANSACTION: Self = Self(*b"25P02");
    /// `idle_in_transaction_session_timeout`.
    pub const IDLE_IN_TRANSACTION_TIMEOUT: Self = Self(*b"25P03");
    /// `transaction_timeout`.
    pub const TRANSACTION_TIMEOUT: Self = Self(*b"25P04");
    /// `invalid_catalog_name`.
    pub const INVALID_CATALOG_NAME: Self = Self(*b"3D000");
    /// `invalid_sql_statement_name`.
    pub const INVALID_STATEMENT_NAME: Self = Self(*b"26000");
    /// `invalid_cursor_name`.
    pub const INVALID_CURSOR_NAME: Self = Self(*b"34000");
    /// `duplicate_cursor`.
    pub const DUPLICATE_CURSOR: Self = Self(*b"42P03");
    /// `duplicate_prepared_statement`.
    pub const DUPLICATE_STATEMENT: Self = Self(*b"42P05");
    /// `invalid_authorization_specification`.
    pub const INVALID_AUTHORIZATION: Self = Self(*b"28000");
    /// `invalid_password`.
    pub const INVALID_PASSWORD: Self = Self(*b"28P01");
    /// `insufficient_privilege`.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(*b"42501");
    /// `syntax_error`.
    pub const SYNTAX_ERROR: Self = Self(*b"42601");
    /// `undefined_object`.
    pub const UNDEFINED_OBJECT: Self = Self(*b"42704");
    /// `program_limit_exceeded`.
    pub const LIMIT_EXCEEDED: Self = Self(*b"54000");
    /// `configuration_limit_exceeded`.
    pub const CONFIGURATION_LIMIT: Self = Self(*b"53400");
    /// `too_many_connections`.
    pub const TOO_MANY_CONNECTIONS: Self = Self(*b"53300");
    /// `query_canceled`.
    pub const QUERY_CANCELED: Self = Self(*b"57014");
    /// `admin_shutdown`.
    pub const ADMIN_SHUTDOWN: Self = Self(*b"57P01");
    /// `cannot_connect_now`.
    pub const CANNOT_CONNECT_NOW: Self = Self(*b"57P03");
    /// `object_not_in_prerequisite_state`.
    pub const NOT_IN_STATE: Self = Self(*b"55000");
    /// `idle_session_timeout`.
    pub const IDLE_SESSION_TIMEOUT: Self = Self(*b"57P05");
    /// `internal_error`.
    pub const INTERNAL_ERROR: Self = Self(*b"XX000");
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or("XX000"))
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement has failed; the connection goes on.
    Error,
    /// The connection ends.
    Fatal,
    /// Nothing has failed; a notice.
    Warning,
    /// Nothing has failed; a notice that nobody need act on.
    Notice,
}

impl Severity {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }

    const fn tag(self) -> u8 {
        match self {
            Self::Error | Self::Fatal => b'E',
            Self::Warning | Self::Notice => b'N',
        }
    }
}

/// An error or a notice of the sidecar's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// How bad it is; it also decides between `ErrorResponse` and `NoticeResponse`.
    pub severity: Severity,
    /// The SQLSTATE.
    pub code: SqlState,
    /// One line, without `SPEAKER`, which is put before it on the wire.
    pub message: Cow<'static, str>,
    /// More about it.
    pub detail: Option<Cow<'static, str>>,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
}

impl ErrorResponse {
    /// A message without detail and hint.
    #[must_use]
    pub fn new(severity: Severity, code: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            severity,
            code,
            message: message.into(),
            detail: None,
            hint: None,
        }
    }

    /// A failed statement.
    #[must_use]
    pub fn error(code: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// The end of the connection.
    #[must_use]
    pub fn fatal(code: SqlState, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Severity::Fatal, code, message)
    }

    /// Adds the detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds the hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Appends the message. Texts are cut at 2048 bytes and end at a NUL.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::short(self.severity.tag(), out, |out| {
            let severity = self.severity.word();
            field(Field::LocalizedSeverity, &[severity], out);
            field(Field::Severity, &[severity], out);
            out.push(Field::Code as u8);
            frame::string(self.code.bytes(), out);
            field(Field::Message, &[SPEAKER, bounded(&self.message)], out);
            if let Some(detail) = &self.detail {
                field(Field::Detail, &[bounded(detail)], out);
            }
            if let Some(hint) = &self.hint {
                field(Field::Hint, &[bounded(hint)], out);
            }
            field(Field::Routine, &[ROUTINE], out);
            out.push(0);
        });
    }
}

fn field(kind: Field, parts: &[&str], out: &mut Vec<u8>) {
    out.push(kind as u8);
    for part in parts {
        let end = memchr::memchr(0, part.as_bytes()).unwrap_or(part.len());
        out.extend_from_slice(part.as_bytes().get(..end).unwrap_or_default());
    }
    out.push(0);
}

fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::postgres::codec::{BackendTag, peek};
    use crate::protocol::postgres::message::NoticeFields;

    #[test]
    fn golden() {
        let mut out = Vec::new();
        ErrorResponse::fatal(SqlState::INVALID_AUTHORIZATION, "no user")
            .with_detail("d")
            .with_hint("h")
            .write(&mut out);
        assert_eq!(
            out,
            b"E\x00\x00\x00\x3dSFATAL\x00VFATAL\x00C28000\x00Mbulkhead: no user\x00Dd\x00Hh\x00Rbulkhead\x00\x00"
        );
    }

    #[test]
    fn a_warning_is_a_notice() {
        let mut out = Vec::new();
        ErrorResponse::new(Severity::Warning, SqlState::new(*b"01000"), "w").write(&mut out);
        let header = peek(&out).unwrap().unwrap();
        assert_eq!(header.backend(), Ok(BackendTag::NoticeResponse));
        assert_eq!(header.message_length(), out.len());
    }

    #[test]
    fn hostile_texts_cannot_forge_fields_or_grow_without_end() {
        let mut out = Vec::new();
        let text = format!("a\0C00000\0{}", "ü".repeat(5000));
        ErrorResponse::error(SqlState::SYNTAX_ERROR, text.clone())
            .with_detail("ü".repeat(5000))
            .write(&mut out);
        let fields = NoticeFields::read(&out[5..]).unwrap();
        assert_eq!(fields.sqlstate(), Some(b"42601"));
        assert_eq!(fields.get(Field::Message), Some(&b"bulkhead: a"[..]));
        assert_eq!(fields.get(Field::Detail).map(<[u8]>::len), Some(MAX_TEXT));
        assert_eq!(fields.get(Field::Routine), Some(ROUTINE.as_bytes()));
    }
}
