//! What the sidecar itself says on a connection to a server, and hears: commands of its own, one reply each.

use std::future::Future;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::codec::{ReplyStep, ReplyWalker, error_code, push_array_header, push_bulk};
use crate::stream::Stream;
use crate::upstream::{ConnectError, Endpoint, Stage};

/// Bytes of one reply that are taken.
const MOST_REPLY: usize = 64 * 1024;

/// A conversation on a connection that nobody else speaks on meanwhile.
pub(super) struct Talk<'a> {
    at: &'a Arc<Endpoint>,
    stream: &'a mut Stream,
    /// What the server has said behind the last reply.
    unread: Vec<u8>,
}

/// Bounds a conversation by `deadline`.
///
/// # Errors
/// Its own, or that the time is over.
pub(super) async fn within<T>(
    at: &Arc<Endpoint>,
    deadline: Instant,
    talk: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let began = Instant::now();
    timeout_at(deadline, talk).await.unwrap_or_else(|_| {
        Err(ConnectError::DeadlineExceeded {
            at: Arc::clone(at),
            stage: Stage::Authenticate,
            elapsed: began.elapsed(),
            attempts: Vec::new(),
        })
    })
}

/// A command as it goes to a server.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_array_header(&mut bytes, words.len());
    words.iter().for_each(|word| push_bulk(&mut bytes, word));
    bytes
}

/// The code word of a reply that is an error.
pub(super) fn error_of(reply: &[u8]) -> Option<&[u8]> {
    error_code(reply).ok().flatten()
}

/// A reply of one line, an error's included, without its mark.
pub(super) fn line_of(reply: &[u8]) -> String {
    let line = String::from_utf8_lossy(reply.get(1..).unwrap_or_default());
    line.trim_end().to_owned()
}

impl<'a> Talk<'a> {
    /// A conversation with the server at the other end of `stream`.
    pub(super) const fn new(at: &'a Arc<Endpoint>, stream: &'a mut Stream) -> Self {
        Self {
            at,
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends a command and hears its reply.
    ///
    /// # Errors
    /// The connection is lost, or what answers is no Redis server. A reply that is an error is a reply.
    pub(super) async fn ask(&mut self, words: &[&[u8]]) -> Result<Vec<u8>, ConnectError> {
        self.say(&command(words)).await?;
        self.hear().await
    }

    /// The same where an error is the end of it.
    ///
    /// # Errors
    /// Likewise, and the server's refusal in its own words.
    pub(super) async fn demand(&mut self, words: &[&[u8]]) -> Result<(), ConnectError> {
        let reply = self.ask(words).await?;
        match error_of(&reply) {
            Some(_) => Err(self.refused(&reply)),
            None => Ok(()),
        }
    }

    /// The server's refusal in its own words.
    pub(super) fn refused(&self, reply: &[u8]) -> ConnectError {
        ConnectError::Refused {
            at: Arc::clone(self.at),
            reply: line_of(reply),
        }
    }

    /// Sends commands.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn say(&mut self, commands: &[u8]) -> Result<(), ConnectError> {
        let sent = async {
            self.stream.write_all(commands).await?;
            self.stream.flush().await
        };
        let sent = sent.await;
        sent.map_err(|error| self.broken(format!("the connection was lost: {error}"), true))
    }

    /// Hears one reply.
    ///
    /// # Errors
    /// See [`ask`](Self::ask).
    pub(super) async fn hear(&mut self) -> Result<Vec<u8>, ConnectError> {
        let (mut walker, mut walked) = (ReplyWalker::new(), 0);
        loop {
            loop {
                match walker.step(self.unread.get(walked..).unwrap_or_default()) {
                    Ok(ReplyStep::More) => break,
                    Ok(ReplyStep::Data { len, ends, .. }) => {
                        walked += len;
                        if ends {
                            let behind = self.unread.split_off(walked);
                            return Ok(std::mem::replace(&mut self.unread, behind));
                        }
                    }
                    Err(error) => return Err(self.broken(error.to_string(), false)),
                }
            }
            if self.unread.len() > MOST_REPLY {
                return Err(self.broken("it answers at too great a length".to_owned(), false));
            }
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) => return Err(self.broken("the connection was closed".to_owned(), true)),
                Ok(_) => {}
                Err(error) => {
                    return Err(self.broken(format!("the connection was lost: {error}"), true));
                }
            }
        }
    }

    /// Ends the conversation.
    ///
    /// # Errors
    /// The server has said more than it was asked.
    pub(super) fn end(self) -> Result<(), ConnectError> {
        if self.unread.is_empty() {
            return Ok(());
        }
        Err(self.broken("it says what nobody has asked".to_owned(), false))
    }

    fn broken(&self, reason: String, lost: bool) -> ConnectError {
        ConnectError::Protocol {
            at: Arc::clone(self.at),
            stage: Stage::Authenticate,
            reason,
            lost,
        }
    }
}
