//! The five bytes before every message: which message, and how long.
//!
//! Every query walks this file several times, so it is pure, allocates nothing and looks at nothing but the header. What a
//! body means is said in [`super::message`]; reading from a socket is the relay's work. The start-up packets have no tag and
//! are read in [`super::handshake`].
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats". Lengths are bounded by what PostgreSQL
//! itself accepts: `SocketBackend` in the server for what a client sends, `pqParseInput3` in libpq for what a server sends.

use thiserror::Error;

/// Bytes of a header: the tag and a length of four bytes.
pub const HEADER_LENGTH: usize = 5;

/// The largest length that PostgreSQL accepts from a client.
pub const MAX_FRONTEND_LENGTH: u32 = 0x3fff_fffe;

/// The largest length that a server can send: a string of the server's greatest size, and the length itself.
pub const MAX_BACKEND_LENGTH: u32 = 0x4000_0003;

/// The largest length that PostgreSQL accepts for messages that carry no data.
const SMALL: u32 = 10_000;

/// The largest length that libpq accepts for messages that are short by nature.
const SMALL_FROM_SERVER: u32 = 30_000;

/// The largest authentication message that PostgreSQL accepts (a GSSAPI token; SASL and passwords are far shorter).
const AUTHENTICATION: u32 = 65_535;

/// The largest column or parameter count that sixteen bits can say.
const MAX_COUNT: u32 = 0xffff;

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

macro_rules! tags {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $byte:literal, $min:expr, $max:expr;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $byte),+ }

        impl $name {
            /// Every tag, in the order of the protocol's documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The tag of this byte; `None` where the protocol has none.
            #[inline]
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The byte on the wire.
            #[inline]
            #[must_use]
            pub const fn byte(self) -> u8 {
                self as u8
            }

            /// The shortest and the longest length that this message can have, the length's own four bytes included.
            #[inline]
            #[must_use]
            pub const fn bounds(self) -> (u32, u32) {
                match self {
                    $(Self::$variant => ($min, $max),)+
                }
            }
        }
    };
}

tags!(
    /// What a client sends, start-up packets apart.
    FrontendTag {
        /// Binds values to a prepared statement.
        Bind = b'B', 4 + 1 + 1 + 2 + 2 + 2, MAX_FRONTEND_LENGTH;
        /// Closes a statement or a portal.
        Close = b'C', 4 + 1 + 1, SMALL;
        /// A piece of a COPY; both directions use this byte.
        CopyData = b'd', 4, MAX_FRONTEND_LENGTH;
        /// The end of a COPY.
        CopyDone = b'c', 4, 4;
        /// A COPY given up by the client, with the reason.
        CopyFail = b'f', 4 + 1, SMALL;
        /// Asks for the form of a statement or a portal.
        Describe = b'D', 4 + 1 + 1, SMALL;
        /// Runs a portal.
        Execute = b'E', 4 + 1 + 4, SMALL;
        /// Asks for what the server has buffered.
        Flush = b'H', 4, 4;
        /// The old function-call interface.
        FunctionCall = b'F', 4 + 4 + 2 + 2 + 2, MAX_FRONTEND_LENGTH;
        /// Prepares a statement.
        Parse = b'P', 4 + 1 + 1 + 2, MAX_FRONTEND_LENGTH;
        /// An answer to an authentication request: password, SASL or GSSAPI.
        Authentication = b'p', 4, AUTHENTICATION;
        /// A simple query.
        Query = b'Q', 4 + 1, MAX_FRONTEND_LENGTH;
        /// The end of an extended query.
        Sync = b'S', 4, 4;
        /// Goodbye.
        Terminate = b'X', 4, 4;
    }
);

tags!(
    /// What a server sends.
    BackendTag {
        /// An authentication request, or its success.
        Authentication = b'R', 4 + 4, AUTHENTICATION;
        /// The key for cancel requests.
        BackendKeyData = b'K', 4 + 4 + 4, 4 + 4 + 256;
        /// Bind has succeeded.
        BindComplete = b'2', 4, 4;
        /// Close has succeeded.
        CloseComplete = b'3', 4, 4;
        /// A command has succeeded.
        CommandComplete = b'C', 4 + 1, SMALL_FROM_SERVER;
        /// A piece of a COPY.
        CopyData = b'd', 4, MAX_BACKEND_LENGTH;
        /// The end of a COPY.
        CopyDone = b'c', 4, 4;
        /// The server waits for COPY data.
        CopyInResponse = b'G', 4 + 1 + 2, 4 + 1 + 2 + 2 * MAX_COUNT;
        /// COPY data follow.
        CopyOutResponse = b'H', 4 + 1 + 2, 4 + 1 + 2 + 2 * MAX_COUNT;
        /// COPY data flow both ways (replication).
        CopyBothResponse = b'W', 4 + 1 + 2, 4 + 1 + 2 + 2 * MAX_COUNT;
        /// One row.
        DataRow = b'D', 4 + 2, MAX_BACKEND_LENGTH;
        /// The answer to an empty query.
        EmptyQueryResponse = b'I', 4, 4;
        /// An error.
        ErrorResponse = b'E', 4 + 1, MAX_BACKEND_LENGTH;
        /// The result of a function call.
        FunctionCallResponse = b'V', 4 + 4, MAX_BACKEND_LENGTH;
        /// The server speaks an older minor version, or does not know an option.
        NegotiateProtocolVersion = b'v', 4 + 4 + 4, SMALL_FROM_SERVER;
        /// The statement returns no rows.
        NoData = b'n', 4, 4;
        /// A warning or a note.
        NoticeResponse = b'N', 4 + 1, MAX_BACKEND_LENGTH;
        /// A NOTIFY of another session.
        NotificationResponse = b'A', 4 + 4 + 1 + 1, MAX_BACKEND_LENGTH;
        /// The types of a statement's parameters.
        ParameterDescription = b't', 4 + 2, 4 + 2 + 4 * MAX_COUNT;
        /// A run-time parameter's value.
        ParameterStatus = b'S', 4 + 1 + 1, SMALL_FROM_SERVER;
        /// Parse has succeeded.
        ParseComplete = b'1', 4, 4;
        /// Execute has reached its row limit.
        PortalSuspended = b's', 4, 4;
        /// The server is ready for a new query.
        ReadyForQuery = b'Z', 4 + 1, 4 + 1;
        /// The columns of the rows that follow.
        RowDescription = b'T', 4 + 2, MAX_BACKEND_LENGTH;
    }
);

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
