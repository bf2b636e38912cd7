//! A PostgreSQL client that does nothing by itself: tests send exactly the messages that they write, and see every answer.

mod replies;
pub mod send;

pub use replies::{Message, Replies};

use std::collections::BTreeMap;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::refusal::Refusal;
use crate::wait;

/// Protocol version 3.0.
pub const V3_0: u32 = 3 << 16;
/// Protocol version 3.2.
pub const V3_2: u32 = (3 << 16) | 2;

trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A connection.
pub struct Wire {
    stream: Box<dyn Bytes>,
    buffer: Vec<u8>,
    /// What the server has reported of its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The key that cancels this connection's queries: process id and secret.
    pub key: Option<(u32, Vec<u8>)>,
}

impl Wire {
    /// Connects to a port of loopback, and says nothing.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn tcp(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// Speaks over a stream that is connected.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
            parameters: BTreeMap::new(),
            key: None,
        }
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the other side has closed, or does not read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends bytes, which the other side may refuse by closing.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        wait::within(
            "the other side to read",
            self.stream.write_all(bytes.as_ref()),
        )
        .await?;
        self.stream.flush().await
    }

    /// Says that nothing more will be sent, and leaves the other direction open.
    pub async fn finish_sending(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next single byte, as `SSLRequest` is answered; none when the other side has closed.
    pub async fn byte(&mut self) -> Option<u8> {
        self.fill(1).await.then(|| self.buffer.remove(0))
    }

    /// The next message, or none when the other side has closed.
    ///
    /// # Panics
    /// When nothing comes in time, or the connection closes inside a message.
    pub async fn receive(&mut self) -> Option<Message> {
        if !self.fill(5).await {
            assert!(
                self.buffer.is_empty(),
                "closed inside a message: {:?}",
                self.buffer
            );
            return None;
        }
        let length = u32::from_be_bytes(self.buffer[1..5].try_into().unwrap()) as usize;
        assert!(self.fill(length + 1).await, "closed inside a message");
        let rest = self.buffer.split_off(length + 1);
        let whole = std::mem::replace(&mut self.buffer, rest);
        let message = Message {
            tag: whole[0],
            body: whole[5..].to_vec(),
        };
        self.learn(&message);
        Some(message)
    }

    /// The same where the connection may end inside a message; what there is of that is [`Wire::rest`].
    pub async fn receive_whole(&mut self) -> Option<Message> {
        if !self.fill(5).await {
            return None;
        }
        let length = u32::from_be_bytes(self.buffer[1..5].try_into().unwrap()) as usize;
        if !self.fill(length + 1).await {
            return None;
        }
        self.receive().await
    }

    /// What has been read and is not part of a message that was received.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.buffer
    }

    /// Whether the other side has said anything that was not read yet, or says it within `patience`.
    pub async fn says_something(&mut self, patience: std::time::Duration) -> bool {
        !self.buffer.is_empty()
            || tokio::time::timeout(patience, self.stream.read_buf(&mut self.buffer))
                .await
                .is_ok()
    }

    /// Takes bytes off the connection without looking at them, as they come; 0 when the other side has closed.
    ///
    /// # Panics
    /// When none come in time.
    pub async fn discard_some(&mut self) -> usize {
        if !self.buffer.is_empty() {
            return std::mem::take(&mut self.buffer).len();
        }
        let mut chunk = [0; 64 * 1024];
        wait::within("more bytes", self.stream.read(&mut chunk))
            .await
            .unwrap_or(0)
    }

    /// The messages up to and with the next one of type `tag`.
    ///
    /// # Panics
    /// When the connection closes before.
    pub async fn until(&mut self, tag: u8) -> Replies {
        let mut messages = Vec::new();
        loop {
            let Some(message) = self.receive().await else {
                panic!("closed before {:?}, after {messages:?}", char::from(tag));
            };
            let last = message.tag == tag;
            messages.push(message);
            if last {
                return Replies(messages);
            }
        }
    }

    /// The messages up to and with `ReadyForQuery`.
    pub async fn until_ready(&mut self) -> Replies {
        self.until(b'Z').await
    }

    /// The messages up to the connection's end.
    pub async fn until_closed(&mut self) -> Replies {
        let mut messages = Vec::new();
        while let Some(message) = self.receive().await {
            messages.push(message);
        }
        Replies(messages)
    }

    /// Logs in with protocol 3.0 where no password is asked for.
    ///
    /// # Errors
    /// The refusal.
    pub async fn login(&mut self, parameters: &[(&str, &str)]) -> Result<(), Refusal> {
        self.login_as(V3_0, parameters).await.map(|_| ())
    }

    /// Logs in with the protocol `version`; what was answered.
    ///
    /// # Errors
    /// The refusal.
    pub async fn login_as(
        &mut self,
        version: u32,
        parameters: &[(&str, &str)],
    ) -> Result<Replies, Refusal> {
        self.send(send::startup(version, parameters)).await;
        let mut messages = Vec::new();
        while let Some(message) = self.receive().await {
            let tag = message.tag;
            messages.push(message);
            match tag {
                b'E' => return Err(Replies(messages).refusal()),
                b'Z' => return Ok(Replies(messages)),
                _ => {}
            }
        }
        panic!("closed during the login, after {messages:?}");
    }

    /// Sends a simple query and waits for the end of its answer.
    pub async fn query(&mut self, sql: &str) -> Replies {
        self.send(send::query(sql)).await;
        self.until_ready().await
    }

    /// Sends `messages` and waits for `ReadyForQuery`.
    pub async fn exchange(&mut self, messages: &[Vec<u8>]) -> Replies {
        self.send(messages.concat()).await;
        self.until_ready().await
    }

    /// Prepares a statement, its parameters' types left to the server.
    pub async fn prepare(&mut self, name: &str, sql: &str) -> Replies {
        self.exchange(&[send::parse(name, sql), send::sync()]).await
    }

    /// Binds a prepared statement, and does not run it.
    pub async fn bind(&mut self, statement: &str) -> Replies {
        self.exchange(&[send::bind("", statement, &[]), send::sync()])
            .await
    }

    /// Runs a prepared statement.
    pub async fn execute(&mut self, statement: &str, parameters: &[&str]) -> Replies {
        let batch = [
            send::bind("", statement, parameters),
            send::execute("", 0),
            send::sync(),
        ];
        self.exchange(&batch).await
    }

    /// Closes a prepared statement.
    pub async fn close(&mut self, statement: &str) -> Replies {
        self.exchange(&[send::close_statement(statement), send::sync()])
            .await
    }

    /// The process id of the server connection that answers now.
    ///
    /// # Panics
    /// When the query fails.
    pub async fn server_pid(&mut self) -> i32 {
        let answer = self.query("SELECT pg_backend_pid()").await;
        answer.value().unwrap().parse().unwrap()
    }

    /// Whether `count` bytes are there, read or to be read.
    async fn fill(&mut self, count: usize) -> bool {
        while self.buffer.len() < count {
            let read = wait::within("an answer", self.stream.read_buf(&mut self.buffer)).await;
            // A reset is an end like any other: what matters is what came before it.
            if read.unwrap_or(0) == 0 {
                return false;
            }
        }
        true
    }

    fn learn(&mut self, message: &Message) {
        match message.tag {
            b'S' => {
                let mut parts = message.body.split(|byte| *byte == 0);
                let mut next =
                    || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
                self.parameters.insert(next(), next());
            }
            b'K' => {
                let (pid, secret) = message.body.split_at(4);
                self.key = Some((u32::from_be_bytes(pid.try_into().unwrap()), secret.to_vec()));
            }
            _ => {}
        }
    }
}
