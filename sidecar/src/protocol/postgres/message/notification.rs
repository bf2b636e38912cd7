//! `NotificationResponse`: a NOTIFY of another session.

use std::fmt;

use super::cursor::Cursor;
use crate::protocol::postgres::codec::ProtocolError;

/// A notification, in place. Its payload stays out of debug output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The process that notifies.
    pub process_id: i32,
    /// The channel.
    pub channel: &'a [u8],
    /// The payload; empty where there is none.
    pub payload: &'a [u8],
}

impl fmt::Debug for Notification<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("process_id", &self.process_id)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Notification<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A missing field, or bytes behind the last.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("NotificationResponse", body);
        let process_id = cursor.i32("the process id is missing")?;
        let channel = cursor.string("the channel has no end")?;
        let payload = cursor.string("the payload has no end")?;
        cursor.finish()?;
        Ok(Self {
            process_id,
            channel,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let body = b"\x00\x00\x00\x07jobs\x00hello\x00";
        let notification = Notification {
            process_id: 7,
            channel: b"jobs",
            payload: b"hello",
        };
        assert_eq!(Notification::read(body), Ok(notification));
        for cut in 0..body.len() {
            assert!(Notification::read(&body[..cut]).is_err(), "{cut} bytes");
        }
    }
}
