//! Query: a simple query.

use std::fmt;

use super::cursor::Cursor;
use super::frame;
use crate::protocol::postgres::codec::ProtocolError;

/// A simple query, in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// The SQL text without its NUL, in the client's encoding.
    pub text: &'a [u8],
}

/// The text stays out: it may hold anything that a user has typed.
impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({} bytes)", self.text.len())
    }
}

impl<'a> Query<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A text without its NUL, or bytes behind it.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("Query", body);
        let text = cursor.string("the text has no end")?;
        cursor.finish()?;
        Ok(Self { text })
    }

    /// Appends the message. A text that holds a NUL ends there.
    ///
    /// # Errors
    /// A text longer than a message can be.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let end = memchr::memchr(0, self.text).unwrap_or(self.text.len());
        let length = end.saturating_add(1);
        frame::header("Query", b'Q', length, length, out)?;
        frame::string(self.text, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let mut out = Vec::new();
        Query { text: b"SELECT 1" }.write(&mut out).unwrap();
        assert_eq!(out, b"Q\x00\x00\x00\x0dSELECT 1\x00");
        assert_eq!(Query::read(&out[5..]), Ok(Query { text: b"SELECT 1" }));
    }

    #[test]
    fn the_text_ends_with_the_body_and_not_before() {
        assert!(Query::read(b"SELECT 1").is_err());
        assert!(Query::read(b"SELECT\x001\x00").is_err());
        assert!(Query::read(b"").is_err());
    }

    #[test]
    fn debug_output_holds_no_text() {
        let query = Query {
            text: b"SELECT 'secret'",
        };
        assert_eq!(format!("{query:?}"), "Query(15 bytes)");
    }
}
