//! A PostgreSQL client that does what no driver would: it stops in the middle, says nothing, and resets its socket.
//!
//! Lives here: connecting, sending, and waiting for answers. May not live here: what is planted, and why.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{Answer, Failure, Message, ServerError};
use super::message::{bind, parse, query, run, sync};
use super::scenario::Protocol;
use crate::stream::Stream;
use crate::upstream::{CancelTarget, ConnectRequest, Connector, Established};

/// The longest message that is taken, in bytes.
const LONGEST: usize = 1 << 20;

/// Between two tries at cancelling a statement that may not have begun.
const CANCEL_PAUSE: Duration = Duration::from_millis(40);

/// How a user reaches the server.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Dials.
    pub connector: Connector,
    /// The database.
    pub database: String,
    /// The role.
    pub role: String,
    /// The start-up options that name the user; empty: none.
    pub options: String,
    /// How long one answer may take.
    pub patience: Duration,
}

/// A connection.
pub struct Client {
    stream: Stream,
    buffer: BytesMut,
    connector: Connector,
    cancel: Option<CancelTarget>,
    patience: Duration,
}

impl Caller {
    /// Connects, with further start-up parameters; `options` among them are added to the caller's own.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn connect(&self, more: &[(&str, &str)]) -> Result<Client, Failure> {
        let mut options = self.options.clone();
        let mut parameters = Vec::new();
        for (name, value) in more {
            if *name == "options" {
                if !options.is_empty() {
                    options.push(' ');
                }
                options.push_str(value);
            } else {
                parameters.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        if !options.is_empty() {
            parameters.push(("options".to_owned(), options));
        }
        let request = ConnectRequest {
            database: &self.database,
            role: &self.role,
            parameters: &parameters,
        };
        let deadline = Instant::now() + self.patience;
        let connected = self.connector.connect(&request, deadline).await;
        let established = connected.map_err(|error| Failure::from(&error))?;
        Ok(Client::new(established, self))
    }
}

impl Client {
    fn new(established: Established, caller: &Caller) -> Self {
        Self {
            stream: established.stream,
            buffer: BytesMut::from(&established.leftover[..]),
            connector: caller.connector.clone(),
            cancel: established.cancel,
            patience: caller.patience,
        }
    }

    /// How its statements are cancelled; `None` where the server gave no key.
    #[must_use]
    pub fn cancel_target(&self) -> Option<CancelTarget> {
        self.cancel.clone()
    }

    /// Runs a statement over `protocol`.
    ///
    /// # Errors
    /// See [`Failure`]; an error with which the connection goes on is an answer.
    pub async fn ask(&mut self, protocol: Protocol, sql: &str) -> Result<Answer, Failure> {
        let message = match protocol {
            Protocol::Simple => query(sql)?,
            Protocol::Extended => [parse("", sql)?, bind("", "")?, run("", 0)?, sync()].concat(),
        };
        self.send(&message).await?;
        self.until_ready().await
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(self.patience, sent).await {
            Err(_) => Err(Failure::Late),
            Ok(Ok(())) => Ok(()),
            // A server that has hung up may have said why.
            Ok(Err(error)) => match self.next().await {
                Ok(message) if message.tag == b'E' => {
                    Err(Failure::Told(ServerError::read(message.body)))
                }
                _ => Err(Failure::Lost(error.to_string())),
            },
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn until_ready(&mut self) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.patience;
        let mut answer = Answer::default();
        loop {
            let next = timeout_at(deadline, self.next()).await;
            let message = match next.unwrap_or(Err(Failure::Late)) {
                Ok(message) => message,
                Err(failure) => return Err(answer.error.map_or(failure, Failure::Told)),
            };
            if answer.take(message) {
                return Ok(answer);
            }
        }
    }

    /// Messages up to one of these types.
    ///
    /// # Errors
    /// See [`Failure`]; an error of the server is one here.
    pub async fn until(&mut self, wanted: &[u8]) -> Result<(), Failure> {
        let deadline = Instant::now() + self.patience;
        loop {
            let message = timeout_at(deadline, self.next())
                .await
                .unwrap_or(Err(Failure::Late))?;
            if wanted.contains(&message.tag) {
                return Ok(());
            }
            if message.tag == b'E' {
                return Err(Failure::Told(ServerError::read(message.body)));
            }
        }
    }

    /// Runs a statement that would take for ever, and cancels it by the connection's own key.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn cancel_itself(&mut self, protocol: Protocol) -> Result<(), Failure> {
        let Some(target) = self.cancel_target() else {
            return Err(Failure::Lost("the server gave no cancel key".to_owned()));
        };
        let (connector, patience) = (self.connector.clone(), self.patience);
        let asked = self.ask(protocol, "SELECT pg_sleep(600)");
        while_cancelling(&connector, &target, patience, asked).await?;
        Ok(())
    }

    /// Sends the connection's own cancel key once; whether it hits is not looked at.
    pub async fn cancel_once(&mut self) {
        if let Some(target) = self.cancel_target() {
            let deadline = Instant::now() + self.patience;
            let _ = self.connector.cancel(&target, deadline).await;
        }
    }

    /// What dials like this connection, and how long an answer may take.
    #[must_use]
    pub fn way(&self) -> (Connector, Duration) {
        (self.connector.clone(), self.patience)
    }

    /// Says goodbye and closes.
    pub async fn terminate(mut self) {
        let _ = self.send(b"X\0\0\0\x04").await;
        let _ = timeout(self.patience, self.stream.shutdown()).await;
    }

    /// Closes with a reset, where the socket has such a thing.
    pub fn crash(self) {
        if let Some(tcp) = self.stream.tcp() {
            let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
    }

    async fn next(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some(message) = self.decode()? {
                return Ok(message);
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            match read {
                Ok(0) => return Err(Failure::Lost("the connection was closed".to_owned())),
                Ok(_) => {}
                Err(error) => return Err(Failure::Lost(error.to_string())),
            }
        }
    }

    fn decode(&mut self) -> Result<Option<Message>, Failure> {
        let [tag, l0, l1, l2, l3, ..] = self.buffer[..] else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = length.checked_sub(4).filter(|body| *body <= LONGEST) else {
            return Err(Failure::Lost(format!("a message of {length} bytes")));
        };
        if self.buffer.len() - 5 < body {
            return Ok(None);
        }
        self.buffer.advance(5);
        let body = self.buffer.split_to(body).freeze();
        Ok(Some(Message { tag, body }))
    }
}

/// Sends the cancel key `target` again and again until `done` is: a cancel that comes before the statement has begun is lost.
pub async fn while_cancelling<T>(
    connector: &Connector,
    target: &CancelTarget,
    patience: Duration,
    done: impl Future<Output = T>,
) -> T {
    tokio::pin!(done);
    loop {
        let deadline = Instant::now() + patience;
        let cancelled = async {
            // Whether a statement was hit is seen by its answer.
            let _ = connector.cancel(target, deadline).await;
            tokio::time::sleep(CANCEL_PAUSE).await;
        };
        tokio::select! {
            biased;
            done = &mut done => return done,
            () = cancelled => {}
        }
    }
}
