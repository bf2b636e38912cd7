//! The authentication exchange: what the server asks for, and what it is given.
//!
//! Lives here: a state machine that is fed `Authentication…` bodies and says what to send; it keeps to one method, and takes
//! `AuthenticationOk` only when the server has proven what that method makes it prove. May not live here: the socket.
//!
//! Source: PostgreSQL, "Message Flow" and "Message Formats".

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::message::frontend;

use super::credentials::Credentials;
use super::error::{ConnectError, Endpoint};
use super::scram::{ChannelBinding, Expected, KeyCache, Opening, ScramError};
use super::wire::take_string;
use crate::secrets::SecretText;

const SCRAM: &str = "SCRAM-SHA-256";
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Mechanism names that are looked at in one offer.
const MAX_MECHANISMS: usize = 32;

/// What carries the exchange.
pub(super) enum Channel {
    /// Not encrypted.
    Plain,
    /// TLS, with the certificate's `tls-server-end-point` where it has one.
    Tls(Option<Vec<u8>>),
}

/// One exchange.
pub(super) struct Authentication<'a> {
    at: &'a Arc<Endpoint>,
    role: &'a str,
    credentials: &'a Credentials,
    keys: &'a KeyCache,
    channel: Channel,
    progress: Progress,
}

/// What to do after a request.
pub(super) enum Step {
    /// Send this, and wait for the next.
    Send(BytesMut),
    /// Wait for the next.
    Wait,
    /// `AuthenticationOk`: the exchange is over.
    Done,
}

/// Transitions: `Nothing` → `PasswordSent`, or `Nothing` → `ScramOpened` → `ScramAnswered` → `ScramProven`.
enum Progress {
    Nothing,
    PasswordSent,
    ScramOpened(Box<Opening>),
    ScramAnswered(Box<Expected>),
    ScramProven,
}

impl<'a> Authentication<'a> {
    pub(super) const fn new(
        at: &'a Arc<Endpoint>,
        role: &'a str,
        credentials: &'a Credentials,
        keys: &'a KeyCache,
        channel: Channel,
    ) -> Self {
        Self {
            at,
            role,
            credentials,
            keys,
            channel,
            progress: Progress::Nothing,
        }
    }

    /// Takes the body of one `Authentication…` message.
    pub(super) async fn on_request(&mut self, mut body: Bytes) -> Result<Step, ConnectError> {
        let kind = body.try_get_i32().map_err(|_| self.nonsense("is cut"))?;
        let progress = std::mem::replace(&mut self.progress, Progress::Nothing);
        match (kind, progress) {
            (0, Progress::Nothing | Progress::PasswordSent | Progress::ScramProven) => Ok(Step::Done),
            (0, _) => Err(self.refused(
                "the server let us in without having proven that it knows the password: it may not be the server that it claims to be".to_owned(),
            )),
            (3, Progress::Nothing) => self.clear_text(),
            (5, Progress::Nothing) => self.md5(&body),
            (10, Progress::Nothing) => self.open_scram(body),
            (11, Progress::ScramOpened(opening)) => self.answer_scram(*opening, &body).await,
            (12, Progress::ScramAnswered(expected)) => {
                expected.verify(&body).map_err(|e| self.scram_failed(&e))?;
                self.progress = Progress::ScramProven;
                Ok(Step::Wait)
            }
            (3 | 5 | 10 | 11 | 12, _) => Err(self.nonsense("comes out of turn")),
            (other, _) => Err(self.unsupported(other)),
        }
    }

    fn clear_text(&mut self) -> Result<Step, ConnectError> {
        if matches!(self.channel, Channel::Plain) {
            return Err(self.refused(format!(
                "the server asks for the password in clear text, which is sent over TLS only: set {} to VerifyFull, or have pg_hba.conf ask for scram-sha-256",
                self.at.field("upstream.tls.mode")
            )));
        }
        let password = self.password()?;
        self.send_password(password.expose().as_bytes())
    }

    fn md5(&mut self, salt: &[u8]) -> Result<Step, ConnectError> {
        let salt = <[u8; 4]>::try_from(salt).map_err(|_| self.nonsense("has no salt"))?;
        let password = self.password()?;
        let hash = md5_hash(self.role.as_bytes(), password.expose().as_bytes(), salt);
        self.send_password(hash.as_bytes())
    }

    fn send_password(&mut self, password: &[u8]) -> Result<Step, ConnectError> {
        let mut message = BytesMut::new();
        frontend::password_message(password, &mut message)
            .map_err(|_| self.no_password("holds a zero byte, which PostgreSQL cannot take"))?;
        self.progress = Progress::PasswordSent;
        Ok(Step::Send(message))
    }

    fn open_scram(&mut self, offer: Bytes) -> Result<Step, ConnectError> {
        let offered = mechanisms(offer).ok_or_else(|| self.nonsense("is cut"))?;
        let (mechanism, binding) = choose(&offered, &self.channel).ok_or_else(|| {
            self.refused(format!(
                "the server offers {}, of which the sidecar speaks none: have it offer {SCRAM}",
                offered.join(", ")
            ))
        })?;
        let opening = Opening::new(binding).map_err(|e| self.scram_failed(&e))?;
        let mut message = BytesMut::new();
        frontend::sasl_initial_response(mechanism, opening.message().as_bytes(), &mut message)
            .map_err(|_| self.nonsense("cannot be answered"))?;
        self.progress = Progress::ScramOpened(Box::new(opening));
        Ok(Step::Send(message))
    }

    async fn answer_scram(&mut self, opening: Opening, body: &[u8]) -> Result<Step, ConnectError> {
        let password = self.password()?;
        let answered = opening.answer(body, password.expose(), self.keys).await;
        let (answer, expected) = answered.map_err(|e| self.scram_failed(&e))?;
        let mut message = BytesMut::new();
        frontend::sasl_response(answer.as_bytes(), &mut message)
            .map_err(|_| self.nonsense("cannot be answered"))?;
        self.progress = Progress::ScramAnswered(Box::new(expected));
        Ok(Step::Send(message))
    }

    fn password(&self) -> Result<SecretText, ConnectError> {
        match self.credentials.password() {
            Ok(Some(password)) => Ok(password),
            Ok(None) => {
                Err(self.no_password("is asked for by the server, and the policy has none"))
            }
            Err(e) => Err(ConnectError::Credentials {
                at: Arc::clone(self.at),
                reason: format!("{}: {e}", self.at.field("upstream.credentialsSecretRef")),
            }),
        }
    }

    fn no_password(&self, what: &str) -> ConnectError {
        ConnectError::Credentials {
            at: Arc::clone(self.at),
            reason: format!(
                "a password for role {:?} {what}: set {} to a Secret with the keys username and password",
                self.role,
                self.at.field("upstream.credentialsSecretRef")
            ),
        }
    }

    fn scram_failed(&self, error: &ScramError) -> ConnectError {
        self.refused(error.to_string())
    }

    fn nonsense(&self, what: &str) -> ConnectError {
        self.refused(format!("an authentication request of the server {what}"))
    }

    fn unsupported(&self, kind: i32) -> ConnectError {
        let method = match kind {
            2 => "Kerberos V5",
            6 => "SCM credentials",
            7 | 8 => "GSSAPI",
            9 => "SSPI",
            _ => "an unknown method",
        };
        self.refused(format!(
            "the server asks for {method} ({kind}), which the sidecar does not speak: have pg_hba.conf ask for scram-sha-256"
        ))
    }

    fn refused(&self, reason: String) -> ConnectError {
        ConnectError::Authentication {
            at: Arc::clone(self.at),
            reason,
        }
    }
}

/// The names in an `AuthenticationSASL` body, up to the empty one; `None` where it does not end.
fn mechanisms(mut body: Bytes) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while names.len() < MAX_MECHANISMS {
        let name = take_string(&mut body)?;
        if name.is_empty() {
            return Some(names);
        }
        names.push(name.chars().filter(|c| !c.is_control()).take(64).collect());
    }
    None
}

/// The best mechanism that both sides have.
fn choose(offered: &[String], channel: &Channel) -> Option<(&'static str, ChannelBinding)> {
    let has = |name: &str| offered.iter().any(|offer| offer == name);
    match channel {
        Channel::Tls(Some(end_point)) if has(SCRAM_PLUS) => {
            Some((SCRAM_PLUS, ChannelBinding::EndPoint(end_point.clone())))
        }
        Channel::Tls(Some(_)) if has(SCRAM) => Some((SCRAM, ChannelBinding::NotOffered)),
        Channel::Plain | Channel::Tls(_) if has(SCRAM) => Some((SCRAM, ChannelBinding::Impossible)),
        Channel::Plain | Channel::Tls(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_channel_is_bound_wherever_both_sides_can() {
        let bound = Channel::Tls(Some(vec![1]));
        let both = offer(&[SCRAM_PLUS, SCRAM]);
        let plain = offer(&[SCRAM]);
        let end_point = ChannelBinding::EndPoint(vec![1]);
        assert_eq!(choose(&both, &bound), Some((SCRAM_PLUS, end_point)));
        assert_eq!(
            choose(&plain, &bound),
            Some((SCRAM, ChannelBinding::NotOffered))
        );
        for channel in [Channel::Tls(None), Channel::Plain] {
            assert_eq!(
                choose(&both, &channel),
                Some((SCRAM, ChannelBinding::Impossible))
            );
            assert_eq!(choose(&offer(&[SCRAM_PLUS]), &channel), None);
        }
    }

    #[test]
    fn an_offer_without_end_is_refused() {
        assert_eq!(
            mechanisms(Bytes::from_static(b"A\0B\0\0")).unwrap(),
            ["A", "B"]
        );
        assert!(mechanisms(Bytes::from_static(b"A\0B\0")).is_none());
        assert!(mechanisms(Bytes::from_static(b"A\0B")).is_none());
        assert!(mechanisms(Bytes::from(b"A\0".repeat(100))).is_none());
    }
}
