//! What a login says: the parameters of a start-up packet, sorted by who they are for. Pure.

use std::borrow::Cow;

use super::error::HandshakeError;
use super::options::unfold;
use super::redacted::Redacted;
use crate::protocol::postgres::message::{
    NegotiateProtocolVersion, Parameter, ProtocolVersion, StartupMessage,
};

/// Parameters with this prefix are for the sidecar and never reach a server.
const RESERVED: &str = "bulkhead.";
const CONTEXT: &str = "bulkhead.context";
const USER: &str = "bulkhead.user";

/// Options of the protocol itself; none is known yet.
const PROTOCOL_OPTION: &[u8] = b"_pq_.";

/// The longest name that is repeated in an error.
const MAX_SHOWN: usize = 64;

/// What a login says, and what the server's side must answer to its version.
#[derive(Debug)]
pub struct Request<'a> {
    /// The version in force: the client's, at most 3.2.
    pub protocol: ProtocolVersion,
    /// To be sent before anything else, where the client asked for more than is known.
    pub negotiation: Option<NegotiateProtocolVersion<'a>>,
    /// `user`.
    pub user: String,
    /// `database`, or `user` where there is none.
    pub database: String,
    /// The run-time parameters: those of `options` first, then the packet's own, as PostgreSQL applies them.
    pub parameters: Vec<(String, String)>,
    /// `bulkhead.context`.
    pub context_token: Option<Redacted>,
    /// `bulkhead.user`.
    pub asserted_user: Option<String>,
    /// Whether `replication` is asked for.
    pub replication: bool,
}

impl<'a> Request<'a> {
    /// Reads a login.
    ///
    /// `user`, `database`, `options`, `replication` and the `bulkhead.` parameters may come once only, be it in the packet or
    /// in `options`: where they say two things, nobody can tell which of them another reader of the packet believes.
    /// Run-time parameters may be repeated; the last one counts when they are applied in order.
    ///
    /// # Errors
    /// A major version other than 3, a malformed packet, no user, a repeated or unknown name, or a text that is not UTF-8.
    pub fn read(startup: &StartupMessage<'a>) -> Result<Self, HandshakeError> {
        if startup.version.major != 3 {
            return Err(HandshakeError::UnsupportedVersion(startup.version));
        }
        let mut sorted = Sorted::default();
        let mut unknown_options = Vec::new();
        for (name, value) in startup.parameters()? {
            if name.starts_with(PROTOCOL_OPTION) {
                unknown_options.push(name);
            } else {
                sorted.take(text(name, (name, value))?, text(value, (name, value))?)?;
            }
        }
        let protocol = startup.version.min(ProtocolVersion::V3_2);
        let negotiate = protocol != startup.version || !unknown_options.is_empty();
        let negotiation = negotiate.then_some(NegotiateProtocolVersion {
            version: protocol,
            unknown_options,
        });
        sorted.finish(protocol, negotiation)
    }
}

/// The parameters as they come.
#[derive(Default)]
struct Sorted<'a> {
    user: Option<&'a str>,
    database: Option<&'a str>,
    options: Option<&'a str>,
    replication: Option<&'a str>,
    reserved: Reserved,
    parameters: Vec<(String, String)>,
}

#[derive(Default)]
struct Reserved {
    context: Option<String>,
    user: Option<String>,
}

impl<'a> Sorted<'a> {
    fn take(&mut self, name: &'a str, value: &'a str) -> Result<(), HandshakeError> {
        match name {
            "user" => once(&mut self.user, name, value),
            "database" => once(&mut self.database, name, value),
            "options" => once(&mut self.options, name, value),
            "replication" => once(&mut self.replication, name, value),
            _ => {
                if !self.reserved.take(name, value)? {
                    self.parameters.push((known_form(name)?, value.to_owned()));
                }
                Ok(())
            }
        }
    }

    fn finish<'n>(
        mut self,
        protocol: ProtocolVersion,
        negotiation: Option<NegotiateProtocolVersion<'n>>,
    ) -> Result<Request<'n>, HandshakeError> {
        let user = self
            .user
            .filter(|user| !user.is_empty())
            .ok_or(HandshakeError::NoUser)?;
        let mut parameters = Vec::new();
        for (name, value) in unfold(self.options.unwrap_or_default())? {
            if !self.reserved.take(&name, &value)? {
                parameters.push((known_form(&name)?, value));
            }
        }
        parameters.append(&mut self.parameters);
        Ok(Request {
            protocol,
            negotiation,
            user: user.to_owned(),
            database: self
                .database
                .filter(|database| !database.is_empty())
                .unwrap_or(user)
                .to_owned(),
            parameters,
            context_token: self.reserved.context.map(Redacted::new),
            asserted_user: self.reserved.user,
            replication: replication(self.replication)?,
        })
    }
}

impl Reserved {
    /// Takes a parameter that is meant for the sidecar; whether it was one. Names are alike in any case, as PostgreSQL's are.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, HandshakeError> {
        let ours = name
            .get(..RESERVED.len())
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED));
        if !ours {
            return Ok(false);
        }
        if name.eq_ignore_ascii_case(CONTEXT) {
            once(&mut self.context, CONTEXT, value.to_owned())?;
        } else if name.eq_ignore_ascii_case(USER) {
            once(&mut self.user, USER, value.to_owned())?;
        } else {
            let lower = name.to_ascii_lowercase();
            let distance = |known| strsim::levenshtein(&lower, known);
            let nearest = if distance(CONTEXT) < distance(USER) {
                CONTEXT
            } else {
                USER
            };
            return Err(HandshakeError::Reserved {
                name: shown(name.as_bytes()).into_owned(),
                nearest,
            });
        }
        Ok(true)
    }
}

fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), HandshakeError> {
    if slot.replace(value).is_some() {
        return Err(HandshakeError::Duplicate(name.to_owned()));
    }
    Ok(())
}

fn text<'a>(bytes: &'a [u8], (name, _): Parameter<'a>) -> Result<&'a str, HandshakeError> {
    std::str::from_utf8(bytes).map_err(|_| HandshakeError::Encoding(shown(name).into_owned()))
}

/// A name that a run-time parameter can have: identifiers, divided by dots. Anything else is unknown to every server, and is
/// refused here because names go into SQL when parameters are applied.
fn known_form(name: &str) -> Result<String, HandshakeError> {
    let part = |part: &str| {
        let mut bytes = part.bytes();
        bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || !b.is_ascii())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || !b.is_ascii())
    };
    if name.split('.').all(part) {
        return Ok(name.to_owned());
    }
    Err(HandshakeError::ParameterName(
        shown(name.as_bytes()).into_owned(),
    ))
}

/// PostgreSQL's truth values, as `parse_bool` reads them, and `database`.
fn replication(value: Option<&str>) -> Result<bool, HandshakeError> {
    let Some(value) = value else {
        return Ok(false);
    };
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    if value == "database" || value == "1" || begins("true", 1) || begins("yes", 1) || value == "on"
    {
        return Ok(true);
    }
    if value == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2) {
        return Ok(false);
    }
    Err(HandshakeError::Replication)
}

fn shown(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name.get(..MAX_SHOWN).unwrap_or(name))
}

#[cfg(test)]
mod tests;
