//! What breaks the protocol or a limit, and the close code for it.

use thiserror::Error;

use super::Close;

/// What is wrong with a frame. The texts go into close reasons, whose limit is 123 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// An opcode that RFC 6455 reserves (3 to 7, 11 to 15).
    #[error("the opcode {0} is reserved (RFC 6455, section 5.2)")]
    ReservedOpcode(u8),
    /// A reserved bit that no extension was negotiated for, or that the negotiated one does not use there.
    #[error("a reserved bit is set that no extension has negotiated (RFC 6455, section 5.2)")]
    ReservedBit,
    /// A client's frame without a mask.
    #[error("a client's frame is not masked (RFC 6455, section 5.1)")]
    Unmasked,
    /// A server's frame with a mask.
    #[error("a server's frame is masked (RFC 6455, section 5.1)")]
    Masked,
    /// A length in more bytes than it needs, or above 2^63 - 1.
    #[error("a payload length is not in its shortest form (RFC 6455, section 5.2)")]
    Length,
    /// A control frame in fragments.
    #[error("a control frame is fragmented (RFC 6455, section 5.5)")]
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    #[error("a control frame has more than 125 bytes (RFC 6455, section 5.5)")]
    LongControl,
    /// A continuation of nothing.
    #[error("a continuation frame continues nothing (RFC 6455, section 5.4)")]
    Continuation,
    /// A new message before the last one has ended.
    #[error("a message begins before the last one has ended (RFC 6455, section 5.4)")]
    Interleaved,
    /// A Close frame of one byte.
    #[error("a Close frame has half a code (RFC 6455, section 5.5.1)")]
    CloseLength,
    /// A code that may not be sent.
    #[error("the close code {0} may not be sent (RFC 6455, section 7.4)")]
    CloseCode(u16),
    /// A close reason that is not UTF-8.
    #[error("a close reason is not UTF-8 (RFC 6455, section 5.5.1)")]
    CloseReason,
    /// A text message that is not UTF-8.
    #[error("a text message is not UTF-8 (RFC 6455, section 8.1)")]
    Utf8,
    /// A message above the limit.
    #[error("a message is larger than the limit")]
    MessageTooBig,
}

impl Violation {
    /// The close code by which whoever did it is told.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::MessageTooBig => Close::MESSAGE_TOO_BIG,
            Self::CloseReason | Self::Utf8 => Close::INVALID_PAYLOAD,
            _ => Close::PROTOCOL_ERROR,
        }
    }
}
