//! `NegotiateProtocolVersion`: the server speaks an older minor version, or does not know some `_pq_.` options.

use super::cursor::Cursor;
use super::frame;
use super::startup::ProtocolVersion;
use crate::protocol::postgres::codec::ProtocolError;

/// The server's side of the negotiation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// The version in force from here on. Servers send both numbers, as in a start-up packet.
    pub version: ProtocolVersion,
    /// The options that the server does not know.
    pub unknown_options: Vec<&'a [u8]>,
}

impl<'a> NegotiateProtocolVersion<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A missing field, fewer options than announced, or bytes behind the last.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("NegotiateProtocolVersion", body);
        let version = ProtocolVersion::from_code(cursor.u32("the version is missing")?);
        let count = cursor.u32("the number of options is missing")?;
        let mut unknown_options = Vec::new();
        for _ in 0..count {
            unknown_options.push(cursor.string("an option has no end")?);
        }
        cursor.finish()?;
        Ok(Self {
            version,
            unknown_options,
        })
    }

    /// Appends the message. The options come from one start-up packet and are bounded by its length.
    pub fn write(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.unknown_options.len()).unwrap_or(u32::MAX);
        frame::short(b'v', out, |out| {
            out.extend_from_slice(&self.version.code().to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
            for option in &self.unknown_options {
                frame::string(option, out);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let negotiate = NegotiateProtocolVersion {
            version: ProtocolVersion::V3_2,
            unknown_options: vec![b"_pq_.x"],
        };
        let mut out = Vec::new();
        negotiate.write(&mut out);
        assert_eq!(
            out,
            b"v\x00\x00\x00\x13\x00\x03\x00\x02\x00\x00\x00\x01_pq_.x\x00"
        );
        assert_eq!(NegotiateProtocolVersion::read(&out[5..]), Ok(negotiate));
    }

    #[test]
    fn a_count_without_its_options_is_refused() {
        let body = b"\x00\x03\x00\x00\xff\xff\xff\xff_pq_.x\x00";
        assert!(NegotiateProtocolVersion::read(body).is_err());
        assert!(NegotiateProtocolVersion::read(b"\x00\x03\x00\x00\x00\x00\x00\x00x").is_err());
    }
}
