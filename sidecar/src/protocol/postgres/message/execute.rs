//! Execute: runs a portal.

use super::cursor::Cursor;
use crate::protocol::postgres::codec::ProtocolError;

/// A portal to be run, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal; empty for the unnamed one.
    pub portal: &'a [u8],
    /// The most rows to return; 0 and less: all.
    pub max_rows: i32,
}

impl<'a> Execute<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A missing field, or bytes behind the last.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("Execute", body);
        let portal = cursor.string("the portal's name has no end")?;
        let max_rows = cursor.i32("the row limit is missing")?;
        cursor.finish()?;
        Ok(Self { portal, max_rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let execute = Execute {
            portal: b"c1",
            max_rows: 100,
        };
        assert_eq!(Execute::read(b"c1\x00\x00\x00\x00\x64"), Ok(execute));
    }

    #[test]
    fn every_missing_byte_is_noticed() {
        let body = b"c1\x00\x00\x00\x00\x64";
        for cut in 0..body.len() {
            assert!(Execute::read(&body[..cut]).is_err(), "{cut} bytes");
        }
        assert!(Execute::read(b"c1\x00\x00\x00\x00\x64\x00").is_err());
    }
}
