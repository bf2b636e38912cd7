//! Parse: prepares a statement.

use std::fmt;

use super::cursor::Cursor;
use super::frame;
use crate::protocol::postgres::codec::ProtocolError;

/// A statement to be prepared, in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The statement's name; empty for the unnamed one.
    pub name: &'a [u8],
    /// The SQL text without its NUL.
    pub query: &'a [u8],
    /// The types' object ids as on the wire, four bytes each, without the count before them.
    pub parameter_types: &'a [u8],
}

/// The text stays out.
impl fmt::Debug for Parse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parse")
            .field("name", &String::from_utf8_lossy(self.name))
            .field("query_bytes", &self.query.len())
            .field("parameters", &(self.parameter_types.len() / 4))
            .finish()
    }
}

impl<'a> Parse<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A missing field, or bytes behind the last.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("Parse", body);
        let name = cursor.string("the statement's name has no end")?;
        let query = cursor.string("the text has no end")?;
        let count = cursor.u16("the number of parameter types is missing")?;
        let parameter_types =
            cursor.bytes(usize::from(count) * 4, "parameter types are missing")?;
        cursor.finish()?;
        Ok(Self {
            name,
            query,
            parameter_types,
        })
    }

    /// Appends the message with another statement name.
    ///
    /// # Errors
    /// A message longer than the protocol allows, or more types than it can count. Nothing is written then.
    pub fn write_renamed(&self, name: &[u8], out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let too_long = ProtocolError::TooLong { message: "Parse" };
        let count = u16::try_from(self.parameter_types.len() / 4).map_err(|_| too_long)?;
        let length = name
            .len()
            .checked_add(self.query.len())
            .and_then(|sum| sum.checked_add(self.parameter_types.len()))
            .and_then(|sum| sum.checked_add(4))
            .ok_or(too_long)?;
        frame::header("Parse", b'P', length, length, out)?;
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(self.query);
        out.push(0);
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(self.parameter_types);
        Ok(())
    }

    /// Appends the message.
    ///
    /// # Errors
    /// See [`Parse::write_renamed`].
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        self.write_renamed(self.name, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARSE: Parse<'static> = Parse {
        name: b"s1",
        query: b"SELECT $1",
        parameter_types: &[0, 0, 0, 23],
    };

    #[test]
    fn golden() {
        let mut out = Vec::new();
        PARSE.write(&mut out).unwrap();
        assert_eq!(
            out,
            b"P\x00\x00\x00\x17s1\x00SELECT $1\x00\x00\x01\x00\x00\x00\x17"
        );
        assert_eq!(Parse::read(&out[5..]), Ok(PARSE));
    }

    #[test]
    fn only_the_name_changes() {
        let mut out = Vec::new();
        PARSE.write_renamed(b"bulkhead_7", &mut out).unwrap();
        let renamed = Parse::read(&out[5..]).unwrap();
        assert_eq!(
            renamed,
            Parse {
                name: b"bulkhead_7",
                ..PARSE
            }
        );
    }

    #[test]
    fn every_missing_byte_is_noticed() {
        let mut out = Vec::new();
        PARSE.write(&mut out).unwrap();
        let body = &out[5..];
        for cut in 0..body.len() {
            assert!(Parse::read(&body[..cut]).is_err(), "{cut} bytes");
        }
        assert!(Parse::read(&[body, b"x"].concat()).is_err());
    }

    #[test]
    fn debug_output_holds_no_text() {
        assert!(!format!("{PARSE:?}").contains("SELECT"));
    }
}
