//! Describe and Close: both name one statement or one portal.

use super::cursor::Cursor;
use super::frame;
use crate::protocol::postgres::codec::ProtocolError;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TargetKind {
    /// A prepared statement.
    Statement = b'S',
    /// A portal.
    Portal = b'P',
}

/// The body of a Describe or a Close, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// What the name stands for.
    pub kind: TargetKind,
    /// The name; empty for the unnamed one.
    pub name: &'a [u8],
}

impl<'a> Target<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A kind that is neither `S` nor `P`, a name without its NUL, or bytes behind it.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("Describe or Close", body);
        let kind = match cursor.u8("the kind is missing")? {
            b'S' => TargetKind::Statement,
            b'P' => TargetKind::Portal,
            _ => return Err(cursor.error("the kind is neither S nor P")),
        };
        let name = cursor.string("the name has no end")?;
        cursor.finish()?;
        Ok(Self { kind, name })
    }

    /// Appends a Describe.
    pub fn write_describe(&self, out: &mut Vec<u8>) {
        self.write(b'D', out);
    }

    /// Appends a Close.
    pub fn write_close(&self, out: &mut Vec<u8>) {
        self.write(b'C', out);
    }

    fn write(&self, tag: u8, out: &mut Vec<u8>) {
        frame::short(tag, out, |out| {
            out.push(self.kind as u8);
            frame::string(self.name, out);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let statement = Target {
            kind: TargetKind::Statement,
            name: b"s1",
        };
        let portal = Target {
            kind: TargetKind::Portal,
            name: b"",
        };
        let mut out = Vec::new();
        statement.write_describe(&mut out);
        portal.write_close(&mut out);
        assert_eq!(out, b"D\x00\x00\x00\x08Ss1\x00C\x00\x00\x00\x06P\x00");
        assert_eq!(Target::read(b"Ss1\x00"), Ok(statement));
        assert_eq!(Target::read(b"P\x00"), Ok(portal));
    }

    #[test]
    fn malformed_bodies_are_refused() {
        for body in [&b""[..], b"S", b"Ss1", b"Xs1\x00", b"Ss1\x00\x00"] {
            assert!(Target::read(body).is_err(), "{body:?}");
        }
    }
}
