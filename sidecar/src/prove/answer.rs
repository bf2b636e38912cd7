//! What an answer of the server comes to, and why there is none. Pure.

use bytes::{Buf, Bytes};

use crate::upstream::{ConnectError, ErrorFields};

/// Messages of one answer that are remembered.
const REMEMBERED: usize = 24;

/// Why there was no answer.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The server ended the connection, or refused it, with this error.
    Told(ServerError),
    /// Nothing came in time.
    Late,
    /// The connection was lost, or spoke nonsense.
    Lost(String),
}

/// An error of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its type.
    pub tag: u8,
    /// What follows type and length.
    pub body: Bytes,
}

/// All up to `ReadyForQuery`.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The types of its messages, parameter reports left out; what is too much is cut.
    pub tags: String,
    /// The first row's first value.
    pub value: Option<String>,
    /// Whether there was a row at all.
    pub row: bool,
    /// The first error.
    pub error: Option<ServerError>,
    /// `I`, `T` or `E`.
    pub status: char,
    /// Whether a notification came.
    pub notified: bool,
}

impl Answer {
    /// Takes one message; `true`: it was the last.
    pub(super) fn take(&mut self, message: Message) -> bool {
        let Message { tag, body } = message;
        if tag != b'S' && self.tags.len() < REMEMBERED {
            self.tags.push(char::from(tag));
        }
        match tag {
            b'D' if !self.row => {
                self.row = true;
                self.value = first_value(&body);
            }
            b'E' if self.error.is_none() => self.error = Some(ServerError::read(body)),
            b'A' => self.notified = true,
            b'Z' => {
                self.status = body.first().copied().map_or('?', char::from);
                return true;
            }
            _ => {}
        }
        false
    }

    /// What it says, in a few words that can be compared: the value, or the error's SQLSTATE.
    #[must_use]
    pub fn says(&self) -> String {
        match (&self.error, &self.value) {
            (Some(error), _) => format!("error {}", error.code),
            (None, Some(value)) => value.clone(),
            (None, None) if self.row => "NULL".to_owned(),
            (None, None) => "no row".to_owned(),
        }
    }
}

impl ServerError {
    pub(super) fn read(body: Bytes) -> Self {
        ErrorFields::parse(body).map_or_else(
            || Self {
                code: "?????".to_owned(),
                message: "malformed".to_owned(),
            },
            |fields| Self::from(&fields),
        )
    }
}

impl From<&ErrorFields> for ServerError {
    fn from(fields: &ErrorFields) -> Self {
        let text = |tag| {
            let field = fields.field(tag).unwrap_or_default();
            String::from_utf8_lossy(field).into_owned()
        };
        Self {
            code: text(b'C'),
            message: text(b'M'),
        }
    }
}

impl From<&ConnectError> for Failure {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::Server { fields, .. } => Self::Told(ServerError::from(fields)),
            ConnectError::DeadlineExceeded { .. } => Self::Late,
            other => Self::Lost(other.to_string()),
        }
    }
}

impl Failure {
    /// Whether it means that there was no server connection to be had: the pool is full.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        match self {
            Self::Late => true,
            Self::Told(error) => {
                error.code == "53300" || error.message.contains("query_wait_timeout")
            }
            Self::Lost(_) => false,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told(error) => write!(f, "{} {}", error.code, error.message),
            Self::Late => f.write_str("no answer in time"),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

fn first_value(body: &Bytes) -> Option<String> {
    let mut body = body.clone();
    if body.try_get_u16().ok()? == 0 {
        return None;
    }
    let length = usize::try_from(body.try_get_i32().ok()?).ok()?;
    let value = body.get(..length)?;
    Some(String::from_utf8_lossy(value).into_owned())
}
