//! Start-up packets: what a client sends before anything else. They have a length and no tag.

use std::fmt;

use super::cancel_key::{CANCEL_REQUEST, CancelKey};
use super::cursor::Cursor;
use crate::protocol::postgres::codec::ProtocolError;

/// The shortest packet: its length and a code, four bytes each.
pub const MIN_STARTUP_LENGTH: u32 = 8;

/// The longest packet, its own length included: what PostgreSQL takes (`MAX_STARTUP_PACKET_LENGTH`, 10,000 bytes) and the
/// longest context token, which does not go on to the server.
pub const MAX_STARTUP_LENGTH: u32 = 4 + 10_000 + 16 * 1024;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// 3, today.
    pub major: u16,
    /// 0 or 2; 1 was never used.
    pub minor: u16,
}

impl ProtocolVersion {
    /// What every client speaks.
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// The newest: cancel keys of up to 256 bytes.
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    /// The version in the packet's four bytes.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        let [a, b, c, d] = code.to_be_bytes();
        Self {
            major: u16::from_be_bytes([a, b]),
            minor: u16::from_be_bytes([c, d]),
        }
    }

    /// The packet's four bytes.
    #[must_use]
    pub const fn code(self) -> u32 {
        let [a, b] = self.major.to_be_bytes();
        let [c, d] = self.minor.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether a cancel key may be longer than four bytes.
    #[must_use]
    pub fn has_long_cancel_keys(self) -> bool {
        self >= Self::V3_2
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A start-up parameter's name and value, without their NUL.
pub type Parameter<'a> = (&'a [u8], &'a [u8]);

/// One start-up packet, in place.
#[derive(Clone, Debug)]
pub enum StartupPacket<'a> {
    /// The client would like TLS.
    SslRequest,
    /// The client would like GSSAPI encryption.
    GssEncRequest,
    /// Not a login: somebody wants a statement to be cancelled.
    Cancel(CancelKey),
    /// A login.
    Startup(StartupMessage<'a>),
}

/// A login, in place. Its values stay out of debug output: a token may be among them.
#[derive(Clone, Copy)]
pub struct StartupMessage<'a> {
    /// The version that the client asks for; its major number may be any.
    pub version: ProtocolVersion,
    parameters: &'a [u8],
}

impl fmt::Debug for StartupMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartupMessage({})", self.version)
    }
}

/// What a cancel request that cannot be read is. It is told apart because a cancel request is never answered.
pub const MALFORMED_CANCEL: ProtocolError = ProtocolError::Malformed {
    message: "CancelRequest",
    problem: "the key must have 4 to 256 bytes behind the process id",
};

impl<'a> StartupPacket<'a> {
    /// Reads the bytes behind the length.
    ///
    /// # Errors
    /// A packet without its code, a request with bytes behind the code, or a cancel key of a length that the protocol does
    /// not allow. The parameters of a login are checked by [`StartupMessage::parameters`].
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("start-up packet", body);
        let code = cursor.u32("the protocol version is missing")?;
        match code {
            SSL_REQUEST => cursor.finish().map(|()| Self::SslRequest),
            GSSENC_REQUEST => cursor.finish().map(|()| Self::GssEncRequest),
            CANCEL_REQUEST => CancelKey::read_from(cursor)
                .map(Self::Cancel)
                .map_err(|_| MALFORMED_CANCEL),
            version => Ok(Self::Startup(StartupMessage {
                version: ProtocolVersion::from_code(version),
                parameters: cursor.rest(),
            })),
        }
    }
}

impl<'a> StartupMessage<'a> {
    /// The parameters in the client's order.
    ///
    /// # Errors
    /// A text without its NUL, a name without a value, or anything but one NUL at the end.
    pub fn parameters(&self) -> Result<Vec<Parameter<'a>>, ProtocolError> {
        let mut cursor = Cursor::new("start-up packet", self.parameters);
        let mut parameters = Vec::new();
        loop {
            let name = cursor.string("the terminator is missing")?;
            if name.is_empty() {
                cursor.finish()?;
                return Ok(parameters);
            }
            let value = cursor.string("a parameter's value has no end")?;
            parameters.push((name, value));
        }
    }

    /// Appends a login packet, as [`startup_packet`] does.
    #[cfg(test)]
    pub fn write(version: ProtocolVersion, parameters: &[(&str, &str)], out: &mut Vec<u8>) {
        startup_packet(version, parameters, out);
    }
}

/// Appends a login packet. A NUL ends a text. Only clients write it.
pub fn startup_packet(version: ProtocolVersion, parameters: &[(&str, &str)], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&version.code().to_be_bytes());
    for (name, value) in parameters {
        super::frame::string(name.as_bytes(), out);
        super::frame::string(value.as_bytes(), out);
    }
    out.push(0);
    let length = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start..start.saturating_add(4)) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let mut out = Vec::new();
        StartupMessage::write(ProtocolVersion::V3_0, &[("user", "chat")], &mut out);
        assert_eq!(out, b"\x00\x00\x00\x13\x00\x03\x00\x00user\x00chat\x00\x00");
        let StartupPacket::Startup(startup) = StartupPacket::read(&out[4..]).unwrap() else {
            panic!("not a login");
        };
        assert_eq!(startup.version, ProtocolVersion::V3_0);
        assert_eq!(
            startup.parameters().unwrap(),
            [(&b"user"[..], &b"chat"[..])]
        );
    }

    #[test]
    fn requests_are_told_apart_by_their_code() {
        let read = |bytes| StartupPacket::read(bytes);
        assert!(matches!(
            read(b"\x04\xd2\x16\x2f"),
            Ok(StartupPacket::SslRequest)
        ));
        assert!(matches!(
            read(b"\x04\xd2\x16\x30"),
            Ok(StartupPacket::GssEncRequest)
        ));
        assert!(read(b"\x04\xd2\x16\x2fx").is_err());
        assert!(read(b"\x04\xd2\x16").is_err());
        let cancel = read(b"\x04\xd2\x16\x2e\x00\x00\x00\x07abcd").unwrap();
        assert!(matches!(cancel, StartupPacket::Cancel(key) if key.process_id() == 7));
        assert!(read(b"\x04\xd2\x16\x2e\x00\x00\x00\x07abc").is_err());
    }

    #[test]
    fn parameters_end_with_one_terminator() {
        let parameters = |bytes: &[u8]| {
            StartupMessage {
                version: ProtocolVersion::V3_0,
                parameters: bytes,
            }
            .parameters()
            .map(|list| list.len())
        };
        assert_eq!(parameters(b"\x00"), Ok(0));
        assert_eq!(parameters(b"user\x00\x00\x00"), Ok(1));
        for malformed in [
            &b""[..],
            b"user",
            b"user\x00",
            b"user\x00x",
            b"user\x00x\x00",
            b"user\x00x\x00\x00\x00",
        ] {
            assert!(parameters(malformed).is_err(), "{malformed:?}");
        }
    }

    #[test]
    fn versions_are_ordered_and_printed() {
        assert_eq!(
            ProtocolVersion::from_code(0x0003_0002),
            ProtocolVersion::V3_2
        );
        assert_eq!(ProtocolVersion::V3_2.code(), 0x0003_0002);
        assert_eq!(ProtocolVersion::V3_2.to_string(), "3.2");
        assert!(!ProtocolVersion::from_code(0x0003_0001).has_long_cancel_keys());
    }
}
