//! The messages that the client sends, as bytes, so that it can stop in the middle of them. Pure.

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;

use super::answer::Failure;

fn built(write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<Vec<u8>, Failure> {
    let mut out = BytesMut::new();
    write(&mut out).map_err(|error| Failure::Lost(error.to_string()))?;
    Ok(out.to_vec())
}

/// `Query`.
///
/// # Errors
/// The text holds a zero byte.
pub fn query(sql: &str) -> Result<Vec<u8>, Failure> {
    built(|out| frontend::query(sql, out))
}

/// `Parse`, the parameters' types left to the server.
///
/// # Errors
/// A text holds a zero byte.
pub fn parse(name: &str, sql: &str) -> Result<Vec<u8>, Failure> {
    built(|out| frontend::parse(name, sql, std::iter::empty(), out))
}

/// `Bind` without parameters, results as text.
///
/// # Errors
/// A name holds a zero byte.
pub fn bind(portal: &str, statement: &str) -> Result<Vec<u8>, Failure> {
    built(|out| {
        let nothing = std::iter::empty::<()>();
        let bound = frontend::bind(
            portal,
            statement,
            std::iter::empty(),
            nothing,
            |(), _| Ok(IsNull::Yes),
            std::iter::empty(),
            out,
        );
        bound.map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))
    })
}

/// `Describe` and `Execute` of a portal; `rows` 0 is all.
///
/// # Errors
/// A name holds a zero byte.
pub fn run(portal: &str, rows: i32) -> Result<Vec<u8>, Failure> {
    built(|out| {
        frontend::describe(b'P', portal, out)?;
        frontend::execute(portal, rows, out)
    })
}

/// `Sync`.
#[must_use]
pub fn sync() -> Vec<u8> {
    b"S\0\0\0\x04".to_vec()
}

/// `Flush`.
#[must_use]
pub fn flush() -> Vec<u8> {
    b"H\0\0\0\x04".to_vec()
}

/// `CopyData`.
#[must_use]
pub fn copy_data(line: &str) -> Vec<u8> {
    let length = u32::try_from(line.len() + 4).unwrap_or(u32::MAX);
    [b"d", &length.to_be_bytes()[..], line.as_bytes()].concat()
}
