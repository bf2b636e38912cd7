//! A connection that speaks RESP and hides nothing: commands in, replies out as they were on the wire.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::PATIENCE;

use super::Reply;

/// A connection to a Redis server, or to what stands before it.
pub struct Connection {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection to a port of 127.0.0.1.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn to_port(port: u16) -> Self {
        let stream =
            TcpStream::connect(("127.0.0.1", port)).expect("the port accepts a connection");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// A connection to a Unix socket.
    ///
    /// # Errors
    /// When it is refused.
    pub fn try_open(socket: impl AsRef<Path>) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::over(stream))
    }

    fn over(stream: impl Read + Write + Send + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            unread: Vec::new(),
        }
    }

    /// Sends a command, and reads one reply.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn ask(&mut self, words: &[&[u8]]) -> Reply {
        self.try_ask(words)
            .unwrap_or_else(|error| panic!("{:?}: {error}", text(words)))
    }

    /// The same with words of text, apart by spaces.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn ask_line(&mut self, line: &str) -> Reply {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.ask(&words)
    }

    /// Sends a command, and reads one reply.
    ///
    /// # Errors
    /// When the connection ends, or there is no reply in time.
    pub fn try_ask(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.try_send(&bytes)?;
        let raw = self.try_read()?;
        Ok(Reply::parse(&raw).expect("a whole reply").0)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The bytes of the next reply, or of the next thing that nobody asked for.
    ///
    /// # Errors
    /// When the connection ends, or there is none in time.
    pub fn try_read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some((_, len)) = Reply::parse(&self.unread) {
                return Ok(self.unread.drain(..len).collect());
            }
            let mut part = [0; 64 * 1024];
            let len = self.stream.read(&mut part)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unread.extend_from_slice(&part[..len]);
        }
    }
}

fn text(words: &[&[u8]]) -> Vec<String> {
    words
        .iter()
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}
