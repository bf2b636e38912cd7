//! The other end of the console's socket: what `bulkhead-sidecar console` asks a running sidecar with, where there is no psql.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::SOCKET;
use crate::admin::AdminError;
use crate::protocol::postgres::codec::{self, BackendTag, HEADER_LENGTH, ProtocolError};
use crate::protocol::postgres::message::{
    CommandComplete, Field, NoticeFields, ProtocolVersion, Query, Type, startup_packet,
};

/// The longest message that is taken.
const LONGEST: usize = 1 << 20;

/// The longest wait for a greeting. An answer is waited for as long as it takes: PAUSE takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// One thing that is said of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Rows.
    Table {
        /// The columns: each name, and whether it is a number.
        head: Vec<(String, bool)>,
        /// The values; none is null.
        rows: Vec<Vec<Option<String>>>,
    },
    /// Something was done; the command's tag.
    Done(String),
    /// A notice.
    Notice(String),
    /// A command has failed, and those behind it were not carried out.
    Failed(String),
}

/// A connection to a console.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the console in `folder`.
    ///
    /// # Errors
    /// Nobody answers there, or not so.
    pub async fn connect(folder: &Path) -> Result<Self, AdminError> {
        let path = folder.join(SOCKET);
        let stream = UnixStream::connect(&path)
            .await
            .map_err(|source| AdminError::NoConsole { path, source })?;
        let mut client = Self { stream };
        let mut hello = Vec::new();
        startup_packet(
            ProtocolVersion::V3_0,
            &[("user", "bulkhead"), ("database", "bulkhead")],
            &mut hello,
        );
        let greeted = timeout(PATIENCE, client.exchange(&hello)).await;
        let said = greeted.map_err(broken)?.map_err(broken)?;
        match said.into_iter().find_map(Said::into_failure) {
            Some(refused) => Err(broken(refused)),
            None => Ok(client),
        }
    }

    /// Sends a text of commands, and gives what is said of it in its order.
    ///
    /// # Errors
    /// The answer broke off.
    pub async fn ask(&mut self, text: &str) -> Result<Vec<Said>, AdminError> {
        let mut query = Vec::new();
        Query {
            text: text.as_bytes(),
        }
        .write(&mut query)
        .map_err(broken)?;
        self.exchange(&query).await.map_err(broken)
    }

    async fn exchange(&mut self, question: &[u8]) -> io::Result<Vec<Said>> {
        self.stream.write_all(question).await?;
        let mut said = Vec::new();
        loop {
            let (tag, body) = self.next().await?;
            let end = take(tag, &body, &mut said).map_err(io::Error::other)?;
            if end {
                return Ok(said);
            }
        }
    }

    async fn next(&mut self) -> io::Result<(BackendTag, Bytes)> {
        let mut header = [0; HEADER_LENGTH];
        self.stream.read_exact(&mut header).await?;
        let header = codec::peek(&header).map_err(io::Error::other)?;
        let header = header.ok_or(io::ErrorKind::UnexpectedEof)?;
        let tag = header.backend().map_err(io::Error::other)?;
        let length = header.body_length();
        if length > LONGEST {
            return Err(io::Error::other("a message is too long"));
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((tag, body.into()))
    }
}

impl Said {
    fn into_failure(self) -> Option<String> {
        match self {
            Self::Failed(text) => Some(text),
            _ => None,
        }
    }
}

/// Takes a message in; whether it was the last.
fn take(tag: BackendTag, body: &[u8], said: &mut Vec<Said>) -> Result<bool, ProtocolError> {
    match tag {
        BackendTag::RowDescription => said.push(Said::Table {
            head: columns(body).unwrap_or_default(),
            rows: Vec::new(),
        }),
        BackendTag::DataRow => {
            if let Some(Said::Table { rows, .. }) = said.last_mut() {
                rows.push(values(body).unwrap_or_default());
            }
        }
        BackendTag::CommandComplete if !matches!(said.last(), Some(Said::Table { .. })) => {
            let tag = CommandComplete::read(body)?.tag;
            said.push(Said::Done(String::from_utf8_lossy(tag).into_owned()));
        }
        BackendTag::NoticeResponse => said.push(Said::Notice(words(body)?.0)),
        BackendTag::ErrorResponse => {
            let (text, fatal) = words(body)?;
            said.push(Said::Failed(text));
            return Ok(fatal);
        }
        BackendTag::ReadyForQuery => return Ok(true),
        _ => {}
    }
    Ok(false)
}

/// What a message says, with its hint on a line of its own; and whether it ends the connection.
fn words(body: &[u8]) -> Result<(String, bool), ProtocolError> {
    let fields = NoticeFields::read(body)?;
    let text = |field| {
        let bytes = fields.get(field).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let mut said = format!("{}:  {}", text(Field::Severity), text(Field::Message));
    for (field, name) in [(Field::Detail, "DETAIL"), (Field::Hint, "HINT")] {
        if fields.get(field).is_some() {
            said = format!("{said}\n{name}:  {}", text(field));
        }
    }
    Ok((said, fields.is_fatal()))
}

/// The columns of a `RowDescription`.
fn columns(body: &[u8]) -> Option<Vec<(String, bool)>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = memchr::memchr(0, rest)?;
        let (name, behind) = rest.split_at(end);
        // A table and its column; the type; its length, its modifier, its format.
        let (fixed, behind) = behind.get(1..)?.split_first_chunk::<18>()?;
        let kind = u32::from_be_bytes(fixed.get(6..10)?.try_into().ok()?);
        let numbers = [Type::INT8.oid(), Type::FLOAT8.oid()];
        let name = String::from_utf8_lossy(name).into_owned();
        columns.push((name, numbers.contains(&kind)));
        rest = behind;
    }
    Some(columns)
}

/// The values of a `DataRow`.
fn values(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut values = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            values.push(None);
            rest = behind;
            continue;
        };
        let (value, behind) = behind.split_at_checked(length)?;
        values.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = behind;
    }
    Some(values)
}

fn broken(reason: impl ToString) -> AdminError {
    AdminError::BrokenConsole {
        reason: reason.to_string(),
    }
}
