//! The sidecar's own login at a server, on a connection that has just been opened: `AUTH`, `HELLO`, `SELECT`.
//!
//! Source: Redis, "AUTH", "HELLO", "SELECT"; a server before 6.0 has no HELLO, and is spoken to in RESP2 alone.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::admission::DEFAULT_ROLE;
use super::client::Resp;
use super::far::Far;
use super::talk::{Talk, error_of, within};
use super::versions::UNKNOWN;
use crate::factory::key::LaneName;
use crate::stream::Stream;
use crate::upstream::{ConnectError, Connector};

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
    connector: &Connector,
    lane: &LaneName,
    stream: &mut Stream,
    deadline: Instant,
) -> Result<LoggedIn, ConnectError> {
    let at = connector.endpoint();
    within(at, deadline, greet(connector, lane, stream)).await
}

async fn greet(
    connector: &Connector,
    lane: &LaneName,
    stream: &mut Stream,
) -> Result<LoggedIn, ConnectError> {
    let at = connector.endpoint();
    let password = connector
        .password()
        .map_err(|error| ConnectError::Credentials {
            at: Arc::clone(at),
            reason: error.to_string(),
        })?;
    let mut talk = Talk::new(at, stream);
    if let Some(password) = password {
        let password = password.expose().as_bytes();
        if *lane.role == *DEFAULT_ROLE {
            talk.demand(&[b"AUTH", password]).await?;
        } else {
            talk.demand(&[b"AUTH", lane.role.as_bytes(), password])
                .await?;
        }
    }
    let greeting = talk.ask(&[b"HELLO", b"2"]).await?;
    let version = match error_of(&greeting) {
        None => version_in(&greeting),
        // Before 6.0.
        Some(b"ERR") => None,
        Some(_) => return Err(talk.refused(&greeting)),
    };
    let database = lane.database.parse().unwrap_or(0);
    if database != 0 {
        talk.demand(&[b"SELECT", database.to_string().as_bytes()])
            .await?;
    }
    talk.end()?;
    Ok(LoggedIn {
        far: Far::new(database, Resp::Two),
        version: version.unwrap_or_else(|| UNKNOWN.into()),
    })
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
