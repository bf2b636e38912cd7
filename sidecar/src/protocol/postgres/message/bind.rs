//! Bind: of one for a server only the two names are read, which stand first, and the values behind them pass unread, whatever their
//! size. One that the sidecar answers itself is read whole.

use memchr::memchr;

use super::cursor::Cursor;
use super::frame;
use super::row::Format;
use crate::protocol::postgres::codec::{Header, ProtocolError};

/// The longest name of a statement or portal that is looked for, in bytes. PostgreSQL tells names apart by their first 63
/// bytes only, so no working client comes near it.
const MAX_NAME: usize = 4096;

/// The names at the start of a Bind, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindNames<'a> {
    /// The portal to make; empty for the unnamed one.
    pub portal: &'a [u8],
    /// The prepared statement; empty for the unnamed one.
    pub statement: &'a [u8],
    /// Where formats and values begin, counted from the start of the body.
    pub rest_offset: usize,
}

impl<'a> BindNames<'a> {
    /// Reads the names from the first bytes of a body; `None` when more bytes are needed.
    ///
    /// Pure: to be asked again with a longer prefix. Whoever holds the whole body takes `None` for a malformed message.
    ///
    /// # Errors
    /// A name longer than `MAX_NAME`.
    pub fn read(prefix: &'a [u8]) -> Result<Option<Self>, ProtocolError> {
        let Some(portal) = name(prefix)? else {
            return Ok(None);
        };
        let behind = portal.len().saturating_add(1);
        let Some(statement) = name(prefix.get(behind..).unwrap_or_default())? else {
            return Ok(None);
        };
        Ok(Some(Self {
            portal,
            statement,
            rest_offset: behind.saturating_add(statement.len()).saturating_add(1),
        }))
    }

    /// Appends header, portal and `statement` in place of the message's own; the bytes from `rest_offset` on follow as they
    /// are. `header` is the original message's.
    ///
    /// # Errors
    /// A message longer than the protocol allows, or a header that is too short for these names. Nothing is written then.
    pub fn write_head(
        &self,
        header: Header,
        statement: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        let rest =
            header
                .body_length()
                .checked_sub(self.rest_offset)
                .ok_or(ProtocolError::Malformed {
                    message: "Bind",
                    problem: "the names are longer than the message",
                })?;
        let length = self
            .portal
            .len()
            .checked_add(statement.len())
            .and_then(|sum| sum.checked_add(2))
            .and_then(|sum| sum.checked_add(rest))
            .ok_or(ProtocolError::TooLong { message: "Bind" })?;
        frame::header("Bind", b'B', length, length.saturating_sub(rest), out)?;
        out.extend_from_slice(self.portal);
        out.push(0);
        out.extend_from_slice(statement);
        out.push(0);
        Ok(())
    }
}

/// A whole Bind, in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal to make; empty for the unnamed one.
    pub portal: &'a [u8],
    /// The prepared statement; empty for the unnamed one.
    pub statement: &'a [u8],
    /// The parameters' values; none for NULL.
    pub values: Vec<Option<&'a [u8]>>,
    /// How the first column of the result is to be written.
    pub result_format: Format,
}

impl<'a> Bind<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A field that is missing or cut off, a format that is neither text nor binary, or bytes behind the last field.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("Bind", body);
        let portal = cursor.string("the portal's name has no end")?;
        let statement = cursor.string("the statement's name has no end")?;
        read_formats(&mut cursor)?;
        let count = cursor.u16("the number of values is missing")?;
        let mut values = Vec::new();
        for _ in 0..count {
            let length = cursor.i32("a value's length is missing")?;
            values.push(match usize::try_from(length) {
                Ok(length) => Some(cursor.bytes(length, "a value is cut off")?),
                Err(_) => None,
            });
        }
        let result_format = read_formats(&mut cursor)?;
        cursor.finish()?;
        Ok(Self {
            portal,
            statement,
            values,
            result_format,
        })
    }
}

/// A list of formats; gives the first, which is text where there is none.
fn read_formats(cursor: &mut Cursor<'_>) -> Result<Format, ProtocolError> {
    let count = cursor.u16("the number of formats is missing")?;
    let mut first = None;
    for _ in 0..count {
        let format = match cursor.u16("a format is missing")? {
            0 => Format::Text,
            1 => Format::Binary,
            _ => return Err(cursor.error("a format is neither text nor binary")),
        };
        first.get_or_insert(format);
    }
    Ok(first.unwrap_or_default())
}

/// The text before the first NUL; `None` when it is not there yet.
fn name(bytes: &[u8]) -> Result<Option<&[u8]>, ProtocolError> {
    let window = bytes.get(..MAX_NAME.saturating_add(1)).unwrap_or(bytes);
    if let Some(end) = memchr(0, window) {
        return Ok(window.get(..end));
    }
    if bytes.len() > MAX_NAME {
        return Err(ProtocolError::Malformed {
            message: "Bind",
            problem: "a name is longer than 4096 bytes",
        });
    }
    Ok(None)
}

/// Appends the whole of an extended query with one parameter, `text`: Parse, Bind and Execute of the unnamed statement, and Sync.
///
/// # Errors
/// A message longer than a server accepts.
pub fn query_with_text(query: &[u8], text: &[u8], out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    /// The type `text`, whose object id is fixed.
    const TEXT: [u8; 4] = 25_u32.to_be_bytes();
    let parse = super::Parse {
        name: b"",
        query,
        parameter_types: &TEXT,
    };
    parse.write(out)?;
    let length =
        i32::try_from(text.len()).map_err(|_| ProtocolError::TooLong { message: "Bind" })?;
    frame::short(b'B', out, |body| {
        // Both names, no formats: all text, one parameter.
        body.extend_from_slice(&[0, 0, 0, 0, 0, 1]);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(text);
        body.extend_from_slice(&[0, 0]);
    });
    frame::short(b'E', out, |body| body.extend_from_slice(&[0; 5]));
    super::sync(out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Appends a whole Bind with another statement name, `body` being the original's.
    fn rename(body: &[u8], statement: &[u8], out: &mut Vec<u8>) {
        let names = BindNames::read(body).unwrap().unwrap();
        let length = u32::try_from(body.len() + 4).unwrap();
        let header = Header { tag: b'B', length };
        names.write_head(header, statement, out).unwrap();
        out.extend_from_slice(&body[names.rest_offset..]);
    }

    /// Portal `p`, statement `s1`, one text parameter `42`, all results in text.
    const BODY: &[u8] = b"p\x00s1\x00\x00\x00\x00\x01\x00\x00\x00\x0242\x00\x00";

    #[test]
    fn golden() {
        let names = BindNames::read(BODY).unwrap().unwrap();
        assert_eq!(
            names,
            BindNames {
                portal: b"p",
                statement: b"s1",
                rest_offset: 5
            }
        );
        let mut out = Vec::new();
        rename(BODY, b"bulkhead_7", &mut out);
        assert_eq!(
            out,
            b"B\x00\x00\x00\x1dp\x00bulkhead_7\x00\x00\x00\x00\x01\x00\x00\x00\x0242\x00\x00"
        );
    }

    #[test]
    fn a_whole_one_has_its_values() {
        let bind = Bind::read(BODY).unwrap();
        assert_eq!(bind.values, [Some(&b"42"[..])]);
        assert_eq!(bind.result_format, Format::Text);
        let body = b"\x00\x00\x00\x01\x00\x01\x00\x01\xff\xff\xff\xff\x00\x02\x00\x01\x00\x00";
        let bind = Bind::read(body).unwrap();
        assert_eq!(
            (bind.values, bind.result_format),
            (vec![None], Format::Binary)
        );
        for cut in 0..BODY.len() {
            assert!(Bind::read(&BODY[..cut]).is_err(), "{cut} bytes");
        }
        assert!(Bind::read(b"\x00\x00\x00\x01\x00\x02\x00\x00\x00\x00").is_err());
    }

    #[test]
    fn a_prefix_is_enough_and_less_asks_for_more() {
        for cut in 0..5 {
            assert_eq!(BindNames::read(&BODY[..cut]), Ok(None), "{cut} bytes");
        }
        for cut in 5..BODY.len() {
            assert!(
                BindNames::read(&BODY[..cut]).unwrap().is_some(),
                "{cut} bytes"
            );
        }
    }

    #[test]
    fn a_name_without_end_is_refused_before_it_fills_a_buffer() {
        let longest = [vec![b'x'; MAX_NAME], vec![0, 0]].concat();
        assert!(BindNames::read(&longest).unwrap().is_some());
        assert_eq!(BindNames::read(&longest[..MAX_NAME]), Ok(None));
        assert!(BindNames::read(&vec![b'x'; MAX_NAME + 1]).is_err());
    }

    #[test]
    fn names_that_the_message_cannot_hold_are_refused() {
        let names = BindNames::read(BODY).unwrap().unwrap();
        let mut out = Vec::new();
        let header = Header {
            tag: b'B',
            length: 8,
        };
        assert!(names.write_head(header, b"x", &mut out).is_err());
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn renaming_there_and_back_changes_nothing(
            portal in "[a-z]{0,8}", statement in "[a-z]{0,8}", other in "[a-z]{0,8}", rest: Vec<u8>,
        ) {
            let mut body = [portal.as_bytes(), &[0], statement.as_bytes(), &[0]].concat();
            body.extend(&rest);
            let mut there = Vec::new();
            rename(&body, other.as_bytes(), &mut there);
            let mut back = Vec::new();
            rename(&there[5..], statement.as_bytes(), &mut back);
            prop_assert_eq!(&back[5..], &body[..]);
        }
    }

    #[test]
    fn golden_query_with_text() {
        let mut out = Vec::new();
        query_with_text(b"SELECT f($1)", b"x", &mut out).unwrap();
        let parse = b"P\x00\x00\x00\x18\x00SELECT f($1)\x00\x00\x01\x00\x00\x00\x19";
        let bind = b"B\x00\x00\x00\x11\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01x\x00\x00";
        let rest = b"E\x00\x00\x00\x09\x00\x00\x00\x00\x00S\x00\x00\x00\x04";
        assert_eq!(out, [&parse[..], bind, rest].concat());
    }
}
