//! The sidecar's own login at a server, on a connection that has just been opened: `AUTH`, `HELLO`, `SELECT`.
//!
//! Source: Redis, "AUTH", "HELLO", "SELECT"; a server before 6.0 has no HELLO, and is spoken to in RESP2 alone.

use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::admission::DEFAULT_ROLE;
use super::client::Resp;
use super::codec::{ReplyStep, ReplyWalker, error_code, push_array_header, push_bulk};
use super::far::Far;
use super::versions::UNKNOWN;
use crate::factory::key::LaneName;
use crate::force::DatabaseForce;
use crate::stream::Stream;
use crate::upstream::{ConnectError, Endpoint, Stage};

/// Bytes of one reply at the login that are taken.
const MOST_REPLY: usize = 64 * 1024;

/// What has come of it.
pub struct LoggedIn {
    /// The session on the other side.
    pub far: Far,
    /// The server's version.
    pub version: Rc<str>,
}

/// Logs in within the time until `deadline`.
///
/// # Errors
/// The server's refusal in its own words, or that it does not speak Redis.
pub async fn log_in(
    force: &DatabaseForce,
    lane: &LaneName,
    stream: &mut Stream,
    deadline: Instant,
) -> Result<LoggedIn, ConnectError> {
    let at = force.connector.endpoint();
    let began = Instant::now();
    let mut talk = Talk { at, stream };
    match timeout_at(deadline, talk.log_in(force, lane)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ConnectError::DeadlineExceeded {
            at: Arc::clone(at),
            stage: Stage::Authenticate,
            elapsed: began.elapsed(),
            attempts: Vec::new(),
        }),
    }
}

struct Talk<'a> {
    at: &'a Arc<Endpoint>,
    stream: &'a mut Stream,
}

impl Talk<'_> {
    async fn log_in(
        &mut self,
        force: &DatabaseForce,
        lane: &LaneName,
    ) -> Result<LoggedIn, ConnectError> {
        let password = force
            .connector
            .password()
            .map_err(|error| ConnectError::Credentials {
                at: Arc::clone(self.at),
                reason: error.to_string(),
            })?;
        if let Some(password) = password {
            let password = password.expose().as_bytes();
            let answer = if *lane.role == *DEFAULT_ROLE {
                self.ask(&[b"AUTH", password]).await?
            } else {
                self.ask(&[b"AUTH", lane.role.as_bytes(), password]).await?
            };
            self.refuse_error(&answer)?;
        }
        let greeting = self.ask(&[b"HELLO", b"2"]).await?;
        let version = match error_of(&greeting) {
            None => version_in(&greeting),
            // Before 6.0.
            Some(b"ERR") => None,
            Some(_) => return Err(self.refused(&greeting)),
        };
        let database = lane.database.parse().unwrap_or(0);
        if database != 0 {
            let number = database.to_string();
            let answer = self.ask(&[b"SELECT", number.as_bytes()]).await?;
            self.refuse_error(&answer)?;
        }
        Ok(LoggedIn {
            far: Far::new(database, Resp::Two),
            version: version.unwrap_or_else(|| UNKNOWN.into()),
        })
    }

    fn refuse_error(&self, answer: &[u8]) -> Result<(), ConnectError> {
        match error_of(answer) {
            Some(_) => Err(self.refused(answer)),
            None => Ok(()),
        }
    }

    fn refused(&self, answer: &[u8]) -> ConnectError {
        let words = String::from_utf8_lossy(answer.get(1..).unwrap_or_default());
        ConnectError::Refused {
            at: Arc::clone(self.at),
            reply: words.trim_end().to_owned(),
        }
    }

    /// Sends a command and reads its reply.
    async fn ask(&mut self, command: &[&[u8]]) -> Result<Vec<u8>, ConnectError> {
        let mut bytes = Vec::new();
        push_array_header(&mut bytes, command.len());
        command
            .iter()
            .for_each(|argument| push_bulk(&mut bytes, argument));
        let sent = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        let sent = sent.await;
        sent.map_err(|error| self.broken(format!("the connection was lost: {error}"), true))?;
        let (mut answer, mut walker, mut walked) = (Vec::new(), ReplyWalker::new(), 0);
        loop {
            loop {
                match walker.step(answer.get(walked..).unwrap_or_default()) {
                    Ok(ReplyStep::More) => break,
                    Ok(ReplyStep::Data { len, ends, .. }) => {
                        walked += len;
                        if ends {
                            return Ok(answer);
                        }
                    }
                    Err(error) => return Err(self.broken(error.to_string(), false)),
                }
            }
            if answer.len() > MOST_REPLY {
                return Err(self.broken("it answers at too great a length".to_owned(), false));
            }
            match self.stream.read_buf(&mut answer).await {
                Ok(0) => return Err(self.broken("the connection was closed".to_owned(), true)),
                Ok(_) => {}
                Err(error) => {
                    return Err(self.broken(format!("the connection was lost: {error}"), true));
                }
            }
        }
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

/// The code word of a reply that is an error.
fn error_of(answer: &[u8]) -> Option<&[u8]> {
    error_code(answer).ok().flatten()
}

/// The value behind `version` in what HELLO has answered: bulk strings, a line for each length and a line for each text.
fn version_in(greeting: &[u8]) -> Option<Rc<str>> {
    let text = std::str::from_utf8(greeting).ok()?;
    let mut lines = text.split("\r\n").skip_while(|line| *line != "version");
    lines.nth(2).map(Rc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_out_of_a_greeting() {
        let greeting = b"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:2\r\n";
        assert_eq!(version_in(greeting).as_deref(), Some("7.0.15"));
        assert_eq!(version_in(b"*0\r\n"), None);
    }
}
