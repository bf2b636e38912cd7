//! One end of a connection, in the hands of a test: it sends what the test writes, and answers nothing by itself.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::frames::{CLOSE, Frame, PING, PONG};
use crate::wait;

/// One end.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Whether it is the client's end, which masks what it sends.
    masks: bool,
}

impl Peer {
    /// The client's end of `stream`.
    #[must_use]
    pub fn client(stream: TcpStream) -> Self {
        Self::new(stream, true)
    }

    /// The application's end of `stream`.
    #[must_use]
    pub fn application(stream: TcpStream) -> Self {
        Self::new(stream, false)
    }

    fn new(stream: TcpStream, masks: bool) -> Self {
        // Small frames, one at a time.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            buffer: Vec::new(),
            masks,
        }
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Frame) {
        let bytes = if self.masks {
            frame.masked()
        } else {
            frame.plain()
        };
        self.send_bytes(&bytes).await;
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the other side has closed, or does not read.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends bytes, which the other side may refuse by closing.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        wait::within("the other side to read", self.stream.write_all(bytes)).await
    }

    /// Sends bytes to who reads when the test gets to it; no limit of time.
    ///
    /// # Panics
    /// When the other side has closed.
    pub async fn send_slowly(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Says that nothing more will be sent, and leaves the other direction open.
    pub async fn finish_sending(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection at once, as a process that is killed with bytes unread: the other side gets a reset.
    ///
    /// # Panics
    /// When the socket is none any more.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// The next `count` bytes.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(
                self.fill().await,
                "closed after {} of {count} bytes",
                self.buffer.len()
            );
        }
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// The bytes up to and with the first `end`.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self
                .buffer
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return self.bytes(at + end.len()).await;
            }
            assert!(
                self.fill().await,
                "closed after {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// The bytes up to the connection's end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// The next frame, or none when the other side has closed.
    ///
    /// # Panics
    /// When nothing comes in time, or the connection ends inside a frame.
    pub async fn frame(&mut self) -> Option<Frame> {
        let frame = self.frame_if_whole().await;
        let left = &self.buffer;
        assert!(
            frame.is_some() || left.is_empty(),
            "closed inside a frame: {left:?}"
        );
        frame
    }

    /// The next frame, or none when the other side has closed, if need be in the middle of one.
    ///
    /// # Panics
    /// When nothing comes in time.
    pub async fn frame_if_whole(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, size)) = Frame::read(&self.buffer) {
                self.buffer.drain(..size);
                return Some(frame);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The next frame, which must come.
    ///
    /// # Panics
    /// When it does not.
    pub async fn next(&mut self) -> Frame {
        self.frame().await.expect("a frame")
    }

    /// The next frame that is no ping or pong; pings are answered.
    ///
    /// # Panics
    /// When none comes.
    pub async fn message(&mut self) -> Frame {
        loop {
            let frame = self.next().await;
            match frame.opcode {
                PING => {
                    let pong = Frame::pong(frame.payload);
                    self.send(pong).await;
                }
                PONG => {}
                _ => return frame,
            }
        }
    }

    /// Reads to the Close frame, answers it as RFC 6455 asks, and waits for the end of the connection: the code and the reason.
    ///
    /// # Panics
    /// When none comes, or something behind it.
    pub async fn closed(&mut self) -> (u16, String) {
        let close = loop {
            let frame = self.message().await;
            if frame.opcode == CLOSE {
                break frame;
            }
        };
        let (code, reason) = close.closes();
        let answer = Frame::new(CLOSE, close.payload);
        let bytes = if self.masks {
            answer.masked()
        } else {
            answer.plain()
        };
        let _ = self.try_send(&bytes).await;
        assert_eq!(self.frame().await, None, "something behind a Close frame");
        (code, reason)
    }

    /// Whether anything comes within `patience` that was not read yet; the end of the connection counts.
    pub async fn says_something(&mut self, patience: std::time::Duration) -> bool {
        !self.buffer.is_empty()
            || tokio::time::timeout(patience, self.stream.read_buf(&mut self.buffer))
                .await
                .is_ok()
    }

    /// Whether more has come; a reset is an end like any other.
    async fn fill(&mut self) -> bool {
        let read = wait::within("more bytes", self.stream.read_buf(&mut self.buffer)).await;
        read.unwrap_or(0) > 0
    }

    /// The stream itself, nothing of which has been read and not used.
    ///
    /// # Panics
    /// When something has.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        assert!(self.buffer.is_empty(), "{:?}", self.buffer);
        self.stream
    }
}
