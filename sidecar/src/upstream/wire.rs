//! Message framing while a connection is being set up: tag, length, body, each capped before room is made for it.
//!
//! Lives here: reading whole messages of the start-up phase, and what is left in the buffer at its end. May not live here:
//! what a message means, and the relay's framing (`protocol/postgres`), which never holds a whole message.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stream::Stream;

/// The longest message body of the start-up phase, in bytes; libpq has 30,000 for errors and 2,000 for the rest.
const MAX_BODY: usize = 32 * 1024;

/// The most that a server may say before it is ready for queries, in bytes.
const MAX_TOTAL: usize = 256 * 1024;

/// Bytes asked of the socket in one go.
const READ: usize = 4 * 1024;

/// One message of the server.
#[derive(Debug)]
pub(super) struct Message {
    /// The type byte.
    pub(super) tag: u8,
    /// What follows the length.
    pub(super) body: Bytes,
}

/// Why no message was read or written.
#[derive(Debug, Error)]
pub(super) enum WireError {
    #[error("the server closed the connection")]
    Closed,
    #[error("the connection was lost: {0}")]
    Io(io::Error),
    #[error("message {tag:?} claims {length} bytes, at most {MAX_BODY} are sensible here")]
    TooLong { tag: char, length: u32 },
    #[error("message {tag:?} claims {length} bytes, which is less than its own length field")]
    TooShort { tag: char, length: u32 },
    #[error("the server sent more than {MAX_TOTAL} bytes before it was ready for queries")]
    TooMuch,
}

impl WireError {
    /// Whether the connection is gone, as against nonsense having come out of it.
    pub(super) const fn is_loss(&self) -> bool {
        matches!(self, Self::Closed | Self::Io(_))
    }
}

/// A stream on which whole messages are exchanged, one side at a time.
pub(super) struct Wire {
    stream: Stream,
    buffer: BytesMut,
    received: usize,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            received: 0,
        }
    }

    /// Writes all of `bytes`. Not cancel-safe: a part may have been written.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.stream.write_all(bytes).await.map_err(WireError::Io)?;
        self.stream.flush().await.map_err(WireError::Io)
    }

    /// The next whole message. Cancel-safe: what was read stays in the buffer.
    pub(super) async fn next(&mut self) -> Result<Message, WireError> {
        loop {
            if let Some(message) = decode(&mut self.buffer)? {
                return Ok(message);
            }
            if self.received > MAX_TOTAL {
                return Err(WireError::TooMuch);
            }
            self.buffer.reserve(READ);
            let read = self
                .stream
                .read_buf(&mut self.buffer)
                .await
                .map_err(WireError::Io)?;
            if read == 0 {
                return Err(WireError::Closed);
            }
            self.received = self.received.saturating_add(read);
        }
    }

    /// The stream, and the bytes that were read from it and not yet understood.
    pub(super) fn into_parts(self) -> (Stream, Vec<u8>) {
        (self.stream, self.buffer.to_vec())
    }
}

/// Takes one message off the front of `buffer`; `None` where it is not whole yet.
fn decode(buffer: &mut BytesMut) -> Result<Option<Message>, WireError> {
    let [tag, l0, l1, l2, l3, ..] = buffer[..] else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    let shown = char::from(tag);
    let Some(body) = (length as usize).checked_sub(4) else {
        return Err(WireError::TooShort { tag: shown, length });
    };
    if body > MAX_BODY {
        return Err(WireError::TooLong { tag: shown, length });
    }
    if buffer.len() - 5 < body {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(Message {
        tag,
        body: buffer.split_to(body).freeze(),
    }))
}

/// Takes a zero-terminated string off the front of `body`; bytes that are not UTF-8 are replaced.
pub(super) fn take_string(body: &mut Bytes) -> Option<String> {
    let end = memchr::memchr(0, body)?;
    let text = String::from_utf8_lossy(&body[..end]).into_owned();
    body.advance(end + 1);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_taken_only_once_it_is_whole() {
        let whole = b"Z\0\0\0\x05IS\0";
        for cut in 0..6 {
            assert!(
                decode(&mut BytesMut::from(&whole[..cut]))
                    .unwrap()
                    .is_none()
            );
        }
        let mut buffer = BytesMut::from(&whole[..]);
        let message = decode(&mut buffer).unwrap().unwrap();
        assert_eq!((message.tag, &message.body[..]), (b'Z', &b"I"[..]));
        assert_eq!(&buffer[..], b"S\0");
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_at_its_header() {
        for (length, long) in [
            (0u32, false),
            (3, false),
            (32 * 1024 + 5, true),
            (u32::MAX, true),
        ] {
            let mut buffer = BytesMut::from(&b"R"[..]);
            buffer.extend_from_slice(&length.to_be_bytes());
            let error = decode(&mut buffer).unwrap_err();
            assert_eq!(matches!(error, WireError::TooLong { .. }), long, "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_is_lost_or_invented(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            let mut taken = 0;
            while let Ok(Some(message)) = decode(&mut buffer) {
                taken += 5 + message.body.len();
            }
            prop_assert_eq!(&bytes[taken..], &buffer[..]);
        }
    }
}
