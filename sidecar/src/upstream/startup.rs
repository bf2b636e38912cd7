//! From an open stream to `ReadyForQuery`: startup message, authentication, and what the server tells about itself.
//!
//! Source: PostgreSQL, "Start-up". Protocol 3.0 is asked for: it is what every server and pooler takes, and 3.2 differs only
//! in the length of cancel keys, which never leave the sidecar. May not live here: how the stream came to be.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::frontend;

use super::authenticate::{Authentication, Step};
use super::error::{ConnectError, Endpoint, Stage};
use super::server_error::ErrorFields;
use super::wire::{Message, Wire, WireError, take_string};

/// The longest startup packet that PostgreSQL takes (`MAX_STARTUP_PACKET_LENGTH`).
const MAX_STARTUP: usize = 10_000;

/// Process id and secret of a `BackendKeyData`: 4 bytes of id, 4 to 256 of secret.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 8..=260;

/// Notices that are kept; a server that has more to say is not listened to.
const MAX_NOTICES: usize = 16;

/// What a server has told when it is ready for queries.
#[derive(Default)]
pub(super) struct Greeting {
    /// `ParameterStatus`, in the order of arrival.
    pub(super) parameters: Vec<(String, String)>,
    /// `BackendKeyData`: process id and secret as sent; poolers may leave it out.
    pub(super) key: Option<Box<[u8]>>,
    /// `NoticeResponse` bodies.
    pub(super) notices: Vec<ErrorFields>,
}

/// One start-up.
pub(super) struct Startup<'a> {
    at: &'a Arc<Endpoint>,
    wire: &'a mut Wire,
    greeting: Greeting,
}

/// The startup message. `user` and `database` among the parameters are left out: PostgreSQL would take the last of two.
pub(super) fn message(
    at: &Arc<Endpoint>,
    database: &str,
    role: &str,
    parameters: &[(String, String)],
) -> Result<BytesMut, ConnectError> {
    let refused = |reason: String| ConnectError::Request {
        at: Arc::clone(at),
        reason,
    };
    if role.is_empty() {
        return Err(refused("no role is given".to_owned()));
    }
    let own = [("user", role), ("database", database)];
    let own = own.into_iter().filter(|(_, value)| !value.is_empty());
    let given = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !matches!(*name, "user" | "database"));
    if given.clone().any(|(name, _)| name.is_empty()) {
        return Err(refused("a parameter has no name".to_owned()));
    }
    let mut message = BytesMut::new();
    frontend::startup_message(own.chain(given), &mut message)
        .map_err(|_| refused("a name or value holds a zero byte".to_owned()))?;
    if message.len() > MAX_STARTUP {
        return Err(refused(format!(
            "it has {} bytes, and PostgreSQL takes {MAX_STARTUP}: send fewer or shorter parameters",
            message.len()
        )));
    }
    Ok(message)
}

impl<'a> Startup<'a> {
    pub(super) fn new(at: &'a Arc<Endpoint>, wire: &'a mut Wire) -> Self {
        Self {
            at,
            wire,
            greeting: Greeting::default(),
        }
    }

    /// Sends the startup message and goes on until the server is ready. Not cancel-safe: the connection is useless then.
    pub(super) async fn run(
        mut self,
        startup: &[u8],
        mut authentication: Authentication<'_>,
    ) -> Result<Greeting, ConnectError> {
        self.send(startup).await?;
        let mut negotiated = false;
        loop {
            let Message { tag, body } = self.next().await?;
            match tag {
                b'R' => match authentication.on_request(body).await? {
                    Step::Send(answer) => self.send(&answer).await?,
                    Step::Wait => {}
                    Step::Done => break,
                },
                b'v' if !negotiated => {
                    negotiated = true;
                    self.negotiate(body, startup)?;
                }
                other => return Err(self.unexpected(other, "before authentication was over")),
            }
        }
        self.until_ready().await
    }

    async fn until_ready(mut self) -> Result<Greeting, ConnectError> {
        loop {
            let Message { tag, mut body } = self.next().await?;
            match tag {
                b'S' => {
                    let pair = take_string(&mut body).zip(take_string(&mut body));
                    match pair {
                        Some(pair) if body.is_empty() => self.greeting.parameters.push(pair),
                        _ => return Err(self.protocol("a ParameterStatus is malformed")),
                    }
                }
                b'K' if KEY_BYTES.contains(&body.len()) => {
                    self.greeting.key = Some(Box::from(&body[..]));
                }
                b'K' => return Err(self.protocol("a BackendKeyData has an impossible length")),
                b'Z' if body[..] == *b"I" => return Ok(self.greeting),
                b'Z' => return Err(self.protocol("the first ReadyForQuery is not idle")),
                other => return Err(self.unexpected(other, "before ReadyForQuery")),
            }
        }
    }

    /// The next message that is neither a notice (kept) nor an error (returned as such).
    async fn next(&mut self) -> Result<Message, ConnectError> {
        loop {
            let message = self.wire.next().await.map_err(|e| self.wire_failed(&e))?;
            if !matches!(message.tag, b'N' | b'E') {
                return Ok(message);
            }
            let fields = ErrorFields::parse(message.body)
                .ok_or_else(|| self.protocol("an ErrorResponse or NoticeResponse is malformed"))?;
            if message.tag == b'E' {
                return Err(ConnectError::Server {
                    at: Arc::clone(self.at),
                    fields,
                });
            }
            if self.greeting.notices.len() < MAX_NOTICES {
                self.greeting.notices.push(fields);
            }
        }
    }

    /// `NegotiateProtocolVersion`: the server may be older, and name `_pq_.` options that it does not know; never newer, and
    /// never options that were not asked for.
    fn negotiate(&self, mut body: Bytes, startup: &[u8]) -> Result<(), ConnectError> {
        let malformed = || self.protocol("a NegotiateProtocolVersion is malformed");
        let version = body.try_get_u32().map_err(|_| malformed())?;
        let count = body.try_get_u32().map_err(|_| malformed())?;
        if !matches!(version, 0 | 0x0003_0000) {
            return Err(self.protocol("the server answers with another protocol version than 3.0"));
        }
        for _ in 0..count {
            let option = take_string(&mut body).ok_or_else(malformed)?;
            let asked = option.starts_with("_pq_.")
                && memchr::memmem::find(startup, format!("\0{option}\0").as_bytes()).is_some();
            if !asked {
                return Err(self.protocol("the server declines an option that was not asked for"));
            }
        }
        if body.is_empty() {
            Ok(())
        } else {
            Err(malformed())
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        let Err(unsent) = self.wire.send(bytes).await else {
            return Ok(());
        };
        // A server that hangs up may have said why before.
        match self.next().await {
            Err(told @ ConnectError::Server { .. }) => Err(told),
            _ => Err(self.wire_failed(&unsent)),
        }
    }

    fn wire_failed(&self, error: &WireError) -> ConnectError {
        ConnectError::Protocol {
            at: Arc::clone(self.at),
            stage: Stage::Authenticate,
            reason: error.to_string(),
            lost: error.is_loss(),
        }
    }

    fn unexpected(&self, tag: u8, when: &str) -> ConnectError {
        self.protocol(&format!("message {:?} {when}", char::from(tag)))
    }

    fn protocol(&self, reason: &str) -> ConnectError {
        ConnectError::Protocol {
            at: Arc::clone(self.at),
            stage: Stage::Authenticate,
            reason: reason.to_owned(),
            lost: false,
        }
    }
}

/// Asks a server that is ready for one value, as text, and goes on until it is ready again. Not cancel-safe: the connection is
/// useless then.
pub(super) async fn ask(
    at: &Arc<Endpoint>,
    wire: &mut Wire,
    sql: &str,
) -> Result<String, ConnectError> {
    let mut asking = Startup::new(at, wire);
    let mut query = BytesMut::new();
    frontend::query(sql, &mut query).map_err(|_| asking.protocol("a question cannot be sent"))?;
    asking.send(&query).await?;
    let mut answer = String::new();
    loop {
        let Message { tag, body } = asking.next().await?;
        match tag {
            b'D' => {
                let value = first_column(body);
                answer = value.ok_or_else(|| asking.protocol("a DataRow is malformed"))?;
            }
            b'T' | b'C' | b'S' => {}
            b'Z' => return Ok(answer),
            other => return Err(asking.unexpected(other, "in answer to a question")),
        }
    }
}

/// The first value of a `DataRow`, as text; empty where it is null.
fn first_column(mut row: Bytes) -> Option<String> {
    let columns = row.try_get_i16().ok()?;
    let length = row.try_get_i32().ok()?;
    let length = usize::try_from(length).unwrap_or(0);
    (columns > 0).then_some(())?;
    let value = row.get(..length)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Arc<Endpoint> {
        Arc::new(Endpoint {
            entry: "main".to_owned(),
            host: "db.internal".to_owned(),
            port: 5432,
            listed: false,
            server: "PostgreSQL",
        })
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn parameters_go_verbatim_and_cannot_name_another_user() {
        let parameters = [
            pair("user", "postgres"),
            pair("options", "-c geqo=off"),
            pair("database", "secrets"),
        ];
        let sent = message(&at(), "chat", "app", &parameters).unwrap();
        assert_eq!(
            &sent[4..],
            b"\0\x03\0\0user\0app\0database\0chat\0options\0-c geqo=off\0\0"
        );
    }

    #[test]
    fn what_cannot_be_sent_is_told() {
        let cases = [
            ("", vec![], "no role"),
            ("app", vec![pair("", "x")], "no name"),
            ("a\0pp", vec![], "zero byte"),
            ("app", vec![pair("options", &"x".repeat(10_000))], "10"),
        ];
        for (role, parameters, told) in cases {
            let error = message(&at(), "chat", role, &parameters)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(told) && error.contains("db.internal"),
                "{error}"
            );
        }
    }
}
