//! `CancelRequest`: to the very address of the connection whose query is to end, over TLS where that connection has it.
//!
//! Source: PostgreSQL, "Canceling Requests in Progress". The server does not answer; that it closes the socket is how one
//! knows that the signal has been sent, so the server connection must not be used for anything else before. May not live
//! here: whose query it is, and whether it still runs.

use std::fmt;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::Address;
use crate::stream::Stream;

/// The code that stands where a startup message has its version: 1234 in the upper half, 5678 in the lower.
const CANCEL_CODE: u32 = 80_877_102;

/// A query that runs, as the server has to be told. `Debug` leaves the secret out.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelTarget {
    /// Where the connection leads.
    pub addr: Address,
    /// Which of the upstream's hosts that is, counted from 0.
    pub host: usize,
    /// Whether it is encrypted.
    pub tls: bool,
    /// Process id and secret, as `BackendKeyData` had them: 4 bytes of id, 4 to 256 of secret.
    pub key: Box<[u8]>,
}

impl CancelTarget {
    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.key.first_chunk().copied().map(i32::from_be_bytes)
    }

    fn message(&self) -> Vec<u8> {
        let length = u32::try_from(self.key.len()).map_or(u32::MAX, |key| key.saturating_add(8));
        let mut message = Vec::with_capacity(self.key.len() + 8);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&CANCEL_CODE.to_be_bytes());
        message.extend_from_slice(&self.key);
        message
    }

    /// Sends the request, and waits until the server has closed the socket.
    ///
    /// # Errors
    /// The socket failed. A reset is a failure too: whoever is in between may have sent it while the request travels on, and then
    /// the server has yet to deal with it.
    pub(super) async fn send(&self, mut stream: Stream) -> io::Result<()> {
        stream.write_all(&self.message()).await?;
        stream.flush().await?;
        let mut ignored = [0; 256];
        loop {
            match stream.read(&mut ignored).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // A server may leave out TLS's own goodbye.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

impl fmt::Debug for CancelTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelTarget")
            .field("addr", &self.addr)
            .field("tls", &self.tls)
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> CancelTarget {
        CancelTarget {
            addr: Address::Unix("/run/.s.PGSQL.5432".into()),
            host: 0,
            tls: false,
            key: [0; 8].into(),
        }
    }

    /// What becomes of a request whose server reads this much of it and then closes.
    async fn outcome(bytes: usize) -> io::Result<()> {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        let target = target();
        let served = async {
            let mut request = vec![0; bytes];
            theirs.read_exact(&mut request).await.unwrap();
            // What has been left unread makes it a reset.
            drop(theirs);
        };
        tokio::join!(target.send(Stream::unix(ours).unwrap()), served).0
    }

    #[tokio::test]
    async fn it_is_dealt_with_when_the_server_closes_and_not_when_the_connection_is_reset() {
        outcome(16).await.unwrap();
        let reset = outcome(15).await.unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn the_message_carries_a_key_of_any_length_and_debug_does_not() {
        for secret in [4, 32, 256] {
            let mut key = 77_i32.to_be_bytes().to_vec();
            key.extend(std::iter::repeat_n(0xAB, secret));
            let target = CancelTarget {
                addr: Address::Unix("/run/.s.PGSQL.5432".into()),
                host: 0,
                tls: false,
                key: key.clone().into(),
            };
            let message = target.message();
            assert_eq!(message[..4], (12 + secret as u32).to_be_bytes());
            assert_eq!(message[4..8], [0x04, 0xd2, 0x16, 0x2e]);
            assert_eq!(message[8..], key);
            let shown = format!("{target:?}");
            assert!(
                shown.contains("77")
                    && !shown.contains("171")
                    && !shown.to_lowercase().contains("ab,")
            );
        }
    }
}
