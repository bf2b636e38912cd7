//! `CommandComplete`: the tag of a command that has succeeded, `INSERT 0 1` for example.

use super::cursor::Cursor;
use super::frame;
use crate::protocol::postgres::codec::ProtocolError;

/// A command's tag, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandComplete<'a> {
    /// The tag without its NUL.
    pub tag: &'a [u8],
}

impl<'a> CommandComplete<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A tag without its NUL, or bytes behind it.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("CommandComplete", body);
        let tag = cursor.string("the tag has no end")?;
        cursor.finish()?;
        Ok(Self { tag })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::short(b'C', out, |out| frame::string(self.tag, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let complete = CommandComplete { tag: b"BEGIN" };
        let mut out = Vec::new();
        complete.write(&mut out);
        assert_eq!(out, b"C\x00\x00\x00\x0aBEGIN\x00");
        assert_eq!(CommandComplete::read(&out[5..]), Ok(complete));
        assert!(CommandComplete::read(b"BEGIN").is_err());
        assert!(CommandComplete::read(b"BEGIN\x00\x00").is_err());
    }
}
