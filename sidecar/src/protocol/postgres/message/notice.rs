//! The fields of `ErrorResponse` and `NoticeResponse`, as a server sent them. The sidecar's own errors are written in
//! [`crate::protocol::postgres::error_response`].
//!
//! Source: PostgreSQL documentation, "Error and Notice Message Fields".

use std::fmt;

use super::cursor::Cursor;
use crate::protocol::postgres::codec::ProtocolError;

/// The fields that somebody here asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    /// `ERROR`, `FATAL`, … in the server's language.
    LocalizedSeverity = b'S',
    /// `ERROR`, `FATAL`, … in English always. PostgreSQL has sent it since 9.6; other servers may not.
    Severity = b'V',
    /// The SQLSTATE. Some servers and poolers leave it out.
    Code = b'C',
    /// The message.
    Message = b'M',
    /// More about the message.
    Detail = b'D',
    /// What to do about it.
    Hint = b'H',
    /// The source routine that reports it.
    Routine = b'R',
}

/// The fields, in place and checked. Their texts stay out of debug output, the code apart.
#[derive(Clone, Copy)]
pub struct NoticeFields<'a> {
    body: &'a [u8],
}

impl fmt::Debug for NoticeFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.sqlstate().map_or(&b"none"[..], |code| &code[..]);
        write!(f, "NoticeFields({})", String::from_utf8_lossy(code))
    }
}

impl<'a> NoticeFields<'a> {
    /// Checks a body.
    ///
    /// # Errors
    /// A field without its NUL, or a body that does not end with one NUL.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("ErrorResponse or NoticeResponse", body);
        while cursor.u8("the terminator is missing")? != 0 {
            cursor.string("a field has no end")?;
        }
        cursor.finish()?;
        Ok(Self { body })
    }

    /// The fields in the server's order, each with its type byte.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut cursor = Cursor::new("ErrorResponse or NoticeResponse", self.body);
        std::iter::from_fn(move || match cursor.u8("") {
            Ok(field) if field != 0 => cursor.string("").ok().map(|text| (field, text)),
            _ => None,
        })
    }

    /// The first field of this type.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&'a [u8]> {
        self.iter()
            .find_map(|(kind, text)| (kind == field as u8).then_some(text))
    }

    /// The five characters of the SQLSTATE; `None` where the server sends none, or something else in its place.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&'a [u8; 5]> {
        self.get(Field::Code)?.try_into().ok()
    }

    /// Whether the server ends the connection with this error. Reads the English severity, else the localized one, which is
    /// spelled alike in most languages.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        let severity = self
            .get(Field::Severity)
            .or_else(|| self.get(Field::LocalizedSeverity));
        matches!(severity, Some(b"FATAL" | b"PANIC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] =
        b"SFEHLER\x00VERROR\x00C42P01\x00Mrelation \"x\" does not exist\x00P15\x00\x00";

    #[test]
    fn golden() {
        let fields = NoticeFields::read(BODY).unwrap();
        assert_eq!(fields.sqlstate(), Some(b"42P01"));
        assert_eq!(fields.get(Field::LocalizedSeverity), Some(&b"FEHLER"[..]));
        assert_eq!(
            fields.get(Field::Message),
            Some(&b"relation \"x\" does not exist"[..])
        );
        assert_eq!(fields.get(Field::Hint), None);
        assert_eq!(fields.iter().count(), 5);
        assert!(!fields.is_fatal());
    }

    #[test]
    fn an_error_without_a_code_is_still_an_error() {
        let fields = NoticeFields::read(b"SFATAL\x00Mgone\x00\x00").unwrap();
        assert_eq!(fields.sqlstate(), None);
        assert!(fields.is_fatal());
        let odd = NoticeFields::read(b"C1234\x00\x00").unwrap();
        assert_eq!(odd.sqlstate(), None);
    }

    #[test]
    fn every_missing_byte_is_noticed() {
        for cut in 0..BODY.len() {
            assert!(NoticeFields::read(&BODY[..cut]).is_err(), "{cut} bytes");
        }
        assert!(NoticeFields::read(&[BODY, b"x"].concat()).is_err());
    }

    #[test]
    fn debug_output_holds_no_text() {
        let fields = NoticeFields::read(BODY).unwrap();
        assert_eq!(format!("{fields:?}"), "NoticeFields(42P01)");
    }
}
