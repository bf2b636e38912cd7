//! Subprotocols (RFC 6455, section 1.9): what the client offers, what of it the application sees, and what the client is told.
//!
//! ```text
//! client                                              application
//! bulkhead.resume.v1+chat, mqtt, bulkhead.v1,  ────→  chat, mqtt
//!   bulkhead.token.…
//! bulkhead.resume.v1+chat                      ←────  chat
//! mqtt                                         ←────  mqtt
//! bulkhead.v1                                  ←────  (nothing)
//! ```

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue};

use super::list;
use super::refusal::Refusal;
use super::token::TOKEN_PROTOCOL;

/// The marker: selected where the application selects nothing and the client has to be given something.
const MARKER: &str = "bulkhead.v1";

/// The socket survives its connection; behind a `+`, the application's own subprotocol.
const RESUME: &str = "bulkhead.resume.v1";

/// The session that a client comes back to: `bulkhead.session.TOKEN.COUNT`. Never selected.
const SESSION: &str = "bulkhead.session.";

/// Bytes of a session's token at the most.
const MOST_TOKEN: usize = 512;

/// What all of ours begin with.
const OURS: &str = "bulkhead.";

/// What the client offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The application's own subprotocols, in the client's order.
    theirs: Vec<Theirs>,
    /// Whether there was anything of ours beside them.
    ours: bool,
    marker: bool,
    /// Resume without a subprotocol of the application.
    resume: bool,
    returning: Option<Returning>,
}

/// A session that a client comes back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returning {
    /// Its token, as the client has it.
    pub token: String,
    /// How many of the application's messages the client has received.
    pub count: u64,
}

/// A subprotocol of the application, and under which names the client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Theirs {
    name: String,
    /// As it is.
    plain: bool,
    /// Behind [`RESUME`].
    resumable: bool,
}

/// The subprotocol of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    told: Option<String>,
    /// Whether the socket is to survive its connection.
    pub resumes: bool,
}

/// Takes away what is the sidecar's own of the subprotocols of a request that is no upgrade: it may carry a token all the same.
pub fn without_our_protocols(headers: &mut HeaderMap) {
    let is_theirs = |name: &&str| !name.starts_with(OURS);
    if list(headers, SEC_WEBSOCKET_PROTOCOL).all(|name| is_theirs(&name)) {
        return;
    }
    let all = list(headers, SEC_WEBSOCKET_PROTOCOL).filter(is_theirs);
    let rest = all.collect::<Vec<_>>().join(", ");
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(rest) = HeaderValue::from_str(&rest)
        .ok()
        .filter(|it| !it.is_empty())
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
    }
}

impl Offer {
    /// Reads the offer. Where the policy does not have `resumes`, what is offered of it is as if it were not there.
    ///
    /// # Errors
    /// Nothing of it could be selected, should the application select nothing: browsers close a connection whose offer was met with
    /// silence, and never say why.
    pub fn of(headers: &HeaderMap, resumes: bool) -> Result<Self, Refusal> {
        let mut offer = Self::default();
        for protocol in list(headers, SEC_WEBSOCKET_PROTOCOL) {
            if protocol == MARKER {
                offer.marker = true;
            } else if let Some(rest) = protocol.strip_prefix(RESUME) {
                offer.resume(rest, resumes)?;
            } else if let Some(rest) = protocol.strip_prefix(SESSION) {
                offer.come_back(rest)?;
            } else if !protocol.starts_with(TOKEN_PROTOCOL) {
                offer.theirs(protocol).plain = true;
                continue;
            }
            offer.ours = true;
        }
        offer.check(resumes)?;
        Ok(offer)
    }

    fn resume(&mut self, rest: &str, resumes: bool) -> Result<(), Refusal> {
        let name = match rest.strip_prefix('+') {
            None if rest.is_empty() => None,
            Some(name) if !name.is_empty() && !name.starts_with(OURS) => Some(name),
            _ => {
                return Err(Refusal::Malformed(
                    "resume is offered as bulkhead.resume.v1, or bulkhead.resume.v1+NAME with a subprotocol of the application's",
                ));
            }
        };
        match name {
            _ if !resumes => {}
            None => self.resume = true,
            Some(name) => self.theirs(name).resumable = true,
        }
        Ok(())
    }

    fn come_back(&mut self, rest: &str) -> Result<(), Refusal> {
        let read = rest.rsplit_once('.').and_then(|(token, count)| {
            let is_token = (1..=MOST_TOKEN).contains(&token.len());
            let is_number = !count.is_empty() && count.bytes().all(|it| it.is_ascii_digit());
            let count = count.parse().ok().filter(|_| is_token && is_number)?;
            let token = token.to_owned();
            Some(Returning { token, count })
        });
        match read {
            Some(returning) if self.returning.is_none() => {
                self.returning = Some(returning);
                Ok(())
            }
            Some(_) => Err(Refusal::Malformed(
                "a client comes back to one session at a time",
            )),
            None => Err(Refusal::Malformed(
                "a client comes back with bulkhead.session.TOKEN.COUNT: the token that it was given, and how many messages it has received",
            )),
        }
    }

    /// The session that the client comes back to, where it also offers to resume one.
    #[must_use]
    pub fn returning(&self) -> Option<&Returning> {
        self.returning.as_ref().filter(|_| self.offers_resume())
    }

    /// Whether the socket might survive its connection.
    #[must_use]
    pub fn offers_resume(&self) -> bool {
        self.resume || self.theirs.iter().any(|it| it.resumable)
    }

    /// The choice of a session that the client comes back to, if it offers that once more.
    #[must_use]
    pub fn choose_again(&self, told: &str) -> Option<Choice> {
        let offered = match told.strip_prefix(RESUME)?.strip_prefix('+') {
            None => self.resume,
            Some(name) => self.theirs.iter().any(|it| it.resumable && it.name == name),
        };
        offered.then(|| Choice {
            told: Some(told.to_owned()),
            resumes: true,
        })
    }

    fn theirs(&mut self, name: &str) -> &mut Theirs {
        let known = self.theirs.iter().position(|it| it.name == name);
        let at = known.unwrap_or(self.theirs.len());
        if known.is_none() {
            self.theirs.push(Theirs {
                name: name.to_owned(),
                plain: false,
                resumable: false,
            });
        }
        &mut self.theirs[at]
    }

    fn check(&self, resumes: bool) -> Result<(), Refusal> {
        if !self.ours || self.marker || self.resume || !self.theirs.is_empty() {
            return Ok(());
        }
        Err(Refusal::Malformed(if resumes {
            "a token is never selected as the subprotocol: offer bulkhead.v1 beside it"
        } else {
            "neither a token nor, under this policy, resume is ever selected as the subprotocol: offer bulkhead.v1 beside it"
        }))
    }

    /// Leaves the application only what is its own.
    pub fn tell_application(&self, headers: &mut HeaderMap) {
        if !self.ours {
            return;
        }
        let names: Vec<&str> = self.theirs.iter().map(|it| it.name.as_str()).collect();
        let rest = HeaderValue::from_str(&names.join(", ")).ok();
        match rest.filter(|_| !names.is_empty()) {
            Some(rest) => drop(headers.insert(SEC_WEBSOCKET_PROTOCOL, rest)),
            None => drop(headers.remove(SEC_WEBSOCKET_PROTOCOL)),
        }
    }

    /// What the client is told, where the application has selected `selected`.
    ///
    /// # Errors
    /// The application has selected what was not offered (RFC 6455, section 4.1); or nothing, and nothing of ours can stand for it.
    pub fn choose(&self, selected: Option<&str>) -> Result<Choice, Refusal> {
        let told = |name: &str, resumes| Choice {
            told: Some(name.to_owned()),
            resumes,
        };
        if let Some(selected) = selected {
            let theirs = self.theirs.iter().find(|it| it.name == selected);
            return match theirs {
                Some(it) if it.resumable => Ok(told(&format!("{RESUME}+{}", it.name), true)),
                Some(it) => Ok(told(&it.name, false)),
                None => Err(Refusal::BadAnswer(
                    "it selects a subprotocol that was not offered",
                )),
            };
        }
        if self.resume {
            return Ok(told(RESUME, true));
        }
        if self.marker {
            return Ok(told(MARKER, false));
        }
        if !self.theirs.is_empty() && !self.theirs.iter().any(|it| it.plain) {
            return Err(Refusal::Malformed(
                "the application selects no subprotocol: offer bulkhead.resume.v1 by itself or bulkhead.v1 as well",
            ));
        }
        // As it would be without a sidecar.
        Ok(Choice {
            told: None,
            resumes: false,
        })
    }
}

impl Choice {
    /// The subprotocol that the client is told.
    #[must_use]
    pub fn told(&self) -> Option<&str> {
        self.told.as_deref()
    }

    /// Puts it into the answer.
    pub fn tell_client(&self, headers: &mut HeaderMap) {
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        let value = self
            .told
            .as_deref()
            .and_then(|it| HeaderValue::from_str(it).ok());
        if let Some(value) = value {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
}

#[cfg(test)]
mod tests;
