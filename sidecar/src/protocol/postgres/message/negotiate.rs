//! `NegotiateProtocolVersion`: the server speaks an older minor version, or does not know some `_pq_.` options.

use super::frame;
use super::startup::ProtocolVersion;

/// The server's side of the negotiation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// The version in force from here on. Servers send both numbers, as in a start-up packet.
    pub version: ProtocolVersion,
    /// The options that the server does not know.
    pub unknown_options: Vec<&'a [u8]>,
}

impl NegotiateProtocolVersion<'_> {
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
    }
}
