//! `ParameterStatus`: a run-time parameter that clients like to know has this value now.

use super::cursor::Cursor;
use super::frame;
use crate::protocol::postgres::codec::ProtocolError;

/// A parameter and its value, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    /// The parameter's name.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> ParameterStatus<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A text without its NUL, or bytes behind the value.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("ParameterStatus", body);
        let name = cursor.string("the name has no end")?;
        let value = cursor.string("the value has no end")?;
        cursor.finish()?;
        Ok(Self { name, value })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::short(b'S', out, |out| {
            frame::string(self.name, out);
            frame::string(self.value, out);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let status = ParameterStatus {
            name: b"TimeZone",
            value: b"UTC",
        };
        let mut out = Vec::new();
        status.write(&mut out);
        assert_eq!(out, b"S\x00\x00\x00\x11TimeZone\x00UTC\x00");
        assert_eq!(ParameterStatus::read(&out[5..]), Ok(status));
    }

    #[test]
    fn every_missing_byte_is_noticed() {
        let body = b"TimeZone\x00UTC\x00";
        for cut in 0..body.len() {
            assert!(ParameterStatus::read(&body[..cut]).is_err(), "{cut} bytes");
        }
        assert!(ParameterStatus::read(b"a\x00b\x00c").is_err());
    }
}
