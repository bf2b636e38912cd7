//! The five bytes before every message: which message, and how long.
//!
//! Every query walks this file several times, so it is pure, allocates nothing and looks at nothing but the header. What a
//! body means is said in [`super::message`]; reading from a socket is the relay's work. The start-up packets have no tag and
//! are read in [`super::handshake`].
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats". Lengths are bounded by what PostgreSQL
//! itself accepts: `SocketBackend` in the server for what a client sends, `pqParseInput3` in libpq for what a server sends.

mod tags;

pub use tags::{BackendTag, FrontendTag, MAX_BACKEND_LENGTH, MAX_FRONTEND_LENGTH};

use thiserror::Error;

/// Bytes of a header: the tag and a length of four bytes.
pub const HEADER_LENGTH: usize = 5;

/// What a peer did that the protocol does not allow. Nobody can tell where the next message starts after it, so it ends the
/// connection that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// A tag that no client sends.
    #[error("unknown message type 0x{0:02x} from the client")]
    UnknownFrontend(u8),
    /// A tag that no server sends.
    #[error("unknown message type 0x{0:02x} from the server")]
    UnknownBackend(u8),
    /// A length outside of the bounds of its message.
    #[error("message type 0x{tag:02x} has length {length}, allowed are {min} to {max}")]
    Length {
        /// The message's tag.
        tag: u8,
        /// The length on the wire.
        length: u32,
        /// The shortest allowed.
        min: u32,
        /// The longest allowed.
        max: u32,
    },
    /// A body that does not have the form of its message.
    #[error("malformed {message}: {problem}")]
    Malformed {
        /// The message's name in PostgreSQL's documentation.
        message: &'static str,
        /// What is wrong, with the field's name.
        problem: &'static str,
    },
    /// A message to be written would be longer than the protocol allows.
    #[error("{message} would be longer than the protocol allows")]
    TooLong {
        /// The message's name in PostgreSQL's documentation.
        message: &'static str,
    },
}

/// A message's first five bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which message.
    pub tag: u8,
    /// The length as on the wire: it counts itself (4 bytes) and the body, not the tag. At least 4, see [`peek`].
    pub length: u32,
}

impl Header {
    /// Bytes of the body.
    #[inline]
    #[must_use]
    pub const fn body_length(self) -> usize {
        (self.length as usize).saturating_sub(4)
    }

    /// Bytes of the whole message: tag, length and body.
    #[inline]
    #[must_use]
    pub const fn message_length(self) -> usize {
        (self.length as usize).saturating_add(1)
    }

    /// Which message of a client's this is.
    ///
    /// # Errors
    /// An unknown tag, or a length that this message cannot have.
    #[inline]
    pub const fn frontend(self) -> Result<FrontendTag, ProtocolError> {
        let Some(tag) = FrontendTag::from_byte(self.tag) else {
            return Err(ProtocolError::UnknownFrontend(self.tag));
        };
        let (min, max) = tag.bounds();
        match self.within(min, max) {
            Ok(()) => Ok(tag),
            Err(error) => Err(error),
        }
    }

    /// Which message of a server's this is.
    ///
    /// # Errors
    /// An unknown tag, or a length that this message cannot have.
    #[inline]
    pub const fn backend(self) -> Result<BackendTag, ProtocolError> {
        let Some(tag) = BackendTag::from_byte(self.tag) else {
            return Err(ProtocolError::UnknownBackend(self.tag));
        };
        let (min, max) = tag.bounds();
        match self.within(min, max) {
            Ok(()) => Ok(tag),
            Err(error) => Err(error),
        }
    }

    #[inline]
    const fn within(self, min: u32, max: u32) -> Result<(), ProtocolError> {
        if self.length >= min && self.length <= max {
            return Ok(());
        }
        Err(ProtocolError::Length {
            tag: self.tag,
            length: self.length,
            min,
            max,
        })
    }
}

/// The header at the start of `buf`; `None` when fewer than five bytes are there.
///
/// Nothing is consumed, so it may be asked again with more bytes. The length is only known to be one that some message can
/// have; [`Header::frontend`] and [`Header::backend`] check it against its own message.
///
/// # Errors
/// A length under 4 or above [`MAX_BACKEND_LENGTH`].
#[inline]
pub const fn peek(buf: &[u8]) -> Result<Option<Header>, ProtocolError> {
    let [tag, a, b, c, d, ..] = *buf else {
        return Ok(None);
    };
    let header = Header {
        tag,
        length: u32::from_be_bytes([a, b, c, d]),
    };
    match header.within(4, MAX_BACKEND_LENGTH) {
        Ok(()) => Ok(Some(header)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_needs_five_bytes() {
        let sync = [b'S', 0, 0, 0, 4];
        for cut in 0..sync.len() {
            assert_eq!(peek(&sync[..cut]), Ok(None), "{cut} bytes");
        }
        let header = peek(&sync).unwrap().unwrap();
        assert_eq!(
            header,
            Header {
                tag: b'S',
                length: 4
            }
        );
        assert_eq!(header.body_length(), 0);
        assert_eq!(header.message_length(), 5);
        assert_eq!(header.frontend(), Ok(FrontendTag::Sync));
    }

    #[test]
    fn nonsense_lengths_are_not_believed() {
        for length in [0_u32, 3, MAX_BACKEND_LENGTH + 1, u32::MAX] {
            let mut bytes = vec![b'Q'];
            bytes.extend(length.to_be_bytes());
            assert!(
                matches!(peek(&bytes), Err(ProtocolError::Length { tag: b'Q', length: l, .. }) if l == length),
                "{length}"
            );
        }
    }

    #[test]
    fn each_message_has_bounds_of_its_own() {
        let with = |tag, length| Header { tag, length };
        assert_eq!(with(b'S', 5).frontend(), Err(length_error(b'S', 5, 4, 4)));
        assert_eq!(with(b'X', 9).frontend(), Err(length_error(b'X', 9, 4, 4)));
        assert_eq!(with(b'Z', 5).backend(), Ok(BackendTag::ReadyForQuery));
        assert_eq!(with(b'Z', 6).backend(), Err(length_error(b'Z', 6, 5, 5)));
        assert_eq!(with(b'K', 264).backend(), Ok(BackendTag::BackendKeyData));
        assert!(with(b'K', 265).backend().is_err());
        assert!(with(b'K', 11).backend().is_err());
        assert!(with(b'S', 30_001).backend().is_err());
        assert!(with(b'D', 0x3000_0000).backend().is_ok());
        assert!(with(b'D', 0x3000_0000).frontend().is_err());
    }

    #[test]
    fn an_unknown_tag_is_named() {
        let header = Header {
            tag: 0x7e,
            length: 4,
        };
        let error = header.frontend().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown message type 0x7e from the client"
        );
        let error = header.backend().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown message type 0x7e from the server"
        );
    }

    #[test]
    fn bytes_and_tags_agree() {
        for tag in FrontendTag::ALL {
            assert_eq!(FrontendTag::from_byte(tag.byte()), Some(*tag));
        }
        for tag in BackendTag::ALL {
            assert_eq!(BackendTag::from_byte(tag.byte()), Some(*tag));
        }
    }

    proptest! {
        #[test]
        fn a_header_says_what_was_written(tag: u8, length in 4..=MAX_BACKEND_LENGTH, body: Vec<u8>) {
            let mut bytes = vec![tag];
            bytes.extend(length.to_be_bytes());
            bytes.extend(body);
            prop_assert_eq!(peek(&bytes), Ok(Some(Header { tag, length })));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            if let Ok(Some(header)) = peek(&bytes) {
                let _ = header.frontend();
                let _ = header.backend();
            }
        }
    }

    fn length_error(tag: u8, length: u32, min: u32, max: u32) -> ProtocolError {
        ProtocolError::Length {
            tag,
            length,
            min,
            max,
        }
    }
}
