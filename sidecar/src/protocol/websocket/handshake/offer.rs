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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(protocols: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in protocols.split(" | ").filter(|line| !line.is_empty()) {
            headers.append(SEC_WEBSOCKET_PROTOCOL, line.parse().unwrap());
        }
        headers
    }

    fn text(headers: &HeaderMap) -> Option<String> {
        let mut lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let first = lines.next().map(|it| it.to_str().unwrap().to_owned());
        assert!(lines.next().is_none());
        first
    }

    /// What the application is told of an offer.
    fn told(protocols: &str, resumes: bool) -> Option<String> {
        let mut headers = headers(protocols);
        let offer = Offer::of(&headers, resumes).unwrap();
        offer.tell_application(&mut headers);
        text(&headers)
    }

    #[test]
    fn the_application_sees_its_own_subprotocols_only() {
        let rows: [(&str, Option<&str>, Option<&str>); 13] = [
            // What is offered, what the application sees without resume, and with it.
            ("", None, None),
            (
                "chat,  graphql-ws",
                Some("chat,  graphql-ws"),
                Some("chat,  graphql-ws"),
            ),
            (
                "chat, bulkhead.token.YQ, mqtt",
                Some("chat, mqtt"),
                Some("chat, mqtt"),
            ),
            (
                "chat | bulkhead.token.YQ | mqtt",
                Some("chat, mqtt"),
                Some("chat, mqtt"),
            ),
            ("bulkhead.v1, bulkhead.token.YQ", None, None),
            ("bulkhead.v1", None, None),
            ("bulkhead.v2", Some("bulkhead.v2"), Some("bulkhead.v2")),
            ("BULKHEAD.V1", Some("BULKHEAD.V1"), Some("BULKHEAD.V1")),
            ("bulkhead.resume.v1, bulkhead.v1", None, None),
            ("bulkhead.resume.v1+chat, bulkhead.v1", None, Some("chat")),
            (
                "bulkhead.resume.v1+chat, mqtt, chat",
                Some("mqtt, chat"),
                Some("chat, mqtt"),
            ),
            (
                "mqtt, bulkhead.resume.v1+chat",
                Some("mqtt"),
                Some("mqtt, chat"),
            ),
            ("bulkhead.resume.v1+a+b, bulkhead.v1", None, Some("a+b")),
        ];
        for (offered, without, with) in rows {
            assert_eq!(told(offered, false).as_deref(), without, "{offered}");
            assert_eq!(told(offered, true).as_deref(), with, "{offered}");
        }
    }

    #[test]
    fn a_client_is_told_the_applications_choice_under_the_name_that_it_knows() {
        /// What is offered, what the application selects, what the client is told without resume, and with it.
        type Row = (
            &'static str,
            Option<&'static str>,
            Option<&'static str>,
            Option<&'static str>,
        );
        let resume_chat = Some("bulkhead.resume.v1+chat");
        let rows: [Row; 13] = [
            ("", None, None, None),
            ("chat", None, None, None),
            ("chat", Some("chat"), Some("chat"), Some("chat")),
            ("chat, bulkhead.token.YQ", None, None, None),
            (
                "chat, bulkhead.v1",
                Some("chat"),
                Some("chat"),
                Some("chat"),
            ),
            ("chat, bulkhead.v1", None, Some(MARKER), Some(MARKER)),
            (
                "bulkhead.resume.v1, bulkhead.v1",
                None,
                Some(MARKER),
                Some(RESUME),
            ),
            (
                "bulkhead.v1, bulkhead.resume.v1",
                None,
                Some(MARKER),
                Some(RESUME),
            ),
            (
                "bulkhead.resume.v1+chat, chat",
                Some("chat"),
                Some("chat"),
                resume_chat,
            ),
            (
                "chat, bulkhead.resume.v1+chat",
                Some("chat"),
                Some("chat"),
                resume_chat,
            ),
            (
                "mqtt, bulkhead.resume.v1+chat",
                Some("mqtt"),
                Some("mqtt"),
                Some("mqtt"),
            ),
            (
                "chat, bulkhead.resume.v1+chat, bulkhead.resume.v1",
                None,
                None,
                Some(RESUME),
            ),
            (
                "bulkhead.resume.v1+chat, bulkhead.v1",
                None,
                Some(MARKER),
                Some(MARKER),
            ),
        ];
        for (offered, selected, without, with) in rows {
            for (resumes, expected) in [(false, without), (true, with)] {
                let choice = Offer::of(&headers(offered), resumes)
                    .unwrap()
                    .choose(selected)
                    .unwrap();
                let mut answer = headers("whatever");
                choice.tell_client(&mut answer);
                assert_eq!(text(&answer).as_deref(), expected, "{offered} {resumes}");
                let is_resume = expected.is_some_and(|it| it.starts_with(RESUME));
                assert_eq!(choice.resumes, is_resume, "{offered} {resumes}");
            }
        }
    }

    #[test]
    fn an_application_selects_what_it_was_offered() {
        let offered = headers("chat, bulkhead.v1, bulkhead.token.YQ, bulkhead.resume.v1+mqtt");
        for wrong in [
            "amqp",
            "Chat",
            "bulkhead.v1",
            "bulkhead.token.YQ",
            "bulkhead.resume.v1+mqtt",
            "",
        ] {
            for resumes in [false, true] {
                let choice = Offer::of(&offered, resumes).unwrap().choose(Some(wrong));
                assert!(matches!(choice, Err(Refusal::BadAnswer(_))), "{wrong}");
            }
        }
        let mqtt = |resumes| Offer::of(&offered, resumes).unwrap().choose(Some("mqtt"));
        assert!(mqtt(false).is_err() && mqtt(true).is_ok());
    }

    #[test]
    fn an_offer_that_cannot_be_answered_is_refused_before_the_application_is_asked() {
        let rows = [
            // What is offered, and whether it stands without resume, and with it.
            ("bulkhead.token.YQ", false, false),
            ("bulkhead.token.YQ, bulkhead.v1", true, true),
            ("bulkhead.token.YQ, chat", true, true),
            ("bulkhead.resume.v1", false, true),
            ("bulkhead.resume.v1+chat", false, true),
            ("bulkhead.resume.v1+chat, bulkhead.token.YQ", false, true),
            ("bulkhead.resume.v1+, chat", false, false),
            ("bulkhead.resume.v1+bulkhead.v1, chat", false, false),
            ("bulkhead.resume.v10, chat", false, false),
        ];
        for (offered, without, with) in rows {
            assert_eq!(
                Offer::of(&headers(offered), false).is_ok(),
                without,
                "{offered}"
            );
            assert_eq!(
                Offer::of(&headers(offered), true).is_ok(),
                with,
                "{offered}"
            );
        }
        // Only resume with a subprotocol, and the application has none: silence would end the connection in the browser.
        let offer = Offer::of(&headers("bulkhead.resume.v1+chat"), true).unwrap();
        assert!(matches!(offer.choose(None), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_client_that_comes_back_says_to_what_and_with_how_much() {
        let of = |offered: &str, resumes| {
            let offer = Offer::of(&headers(offered), resumes)?;
            Ok::<_, Refusal>(offer.returning().cloned())
        };
        let returning = |token: &str, count| {
            Ok(Some(Returning {
                token: token.to_owned(),
                count,
            }))
        };
        let resume = "bulkhead.resume.v1, bulkhead.v1";
        let rows = [
            ("bulkhead.session.abc.7", returning("abc", 7)),
            ("bulkhead.session.a.b.0", returning("a.b", 0)),
        ];
        for (offered, expected) in rows {
            assert_eq!(of(&format!("{resume}, {offered}"), true), expected);
            // Nothing else of it stands: a policy without resume, a client that does not offer to resume.
            assert_eq!(of(&format!("{resume}, {offered}"), false), Ok(None));
            assert_eq!(of(&format!("bulkhead.v1, {offered}"), true), Ok(None));
        }
        for wrong in [
            "bulkhead.session.abc",
            "bulkhead.session.abc.",
            "bulkhead.session..7",
            "bulkhead.session.abc.-7",
            "bulkhead.session.abc.+7",
            "bulkhead.session.abc.18446744073709551616",
            "bulkhead.session.abc.7, bulkhead.session.abc.8",
        ] {
            assert!(of(&format!("{resume}, {wrong}"), true).is_err(), "{wrong}");
        }
        let long = format!(
            "{resume}, bulkhead.session.{}.1",
            "a".repeat(MOST_TOKEN + 1)
        );
        assert!(of(&long, true).is_err());
    }

    #[test]
    fn a_session_goes_on_under_the_subprotocol_that_it_has() {
        let rows = [
            ("bulkhead.resume.v1", "bulkhead.resume.v1", true),
            ("bulkhead.resume.v1", "bulkhead.resume.v1+chat", false),
            ("bulkhead.resume.v1+chat", "bulkhead.resume.v1+chat", true),
            (
                "bulkhead.resume.v1+chat, mqtt",
                "bulkhead.resume.v1+mqtt",
                false,
            ),
            ("bulkhead.resume.v1+chat, chat", "bulkhead.resume.v1", false),
            ("bulkhead.resume.v1", "chat", false),
        ];
        for (offered, told, stands) in rows {
            let offer = Offer::of(&headers(offered), true).unwrap();
            let choice = offer.choose_again(told);
            assert_eq!(choice.is_some(), stands, "{offered} {told}");
            assert!(choice.is_none_or(|it| it.resumes && it.told() == Some(told)));
        }
    }

    proptest! {
        /// Whatever is offered and whatever the application selects of what it sees: it sees nothing of ours, the client is told what it
        /// has itself offered, and a token never.
        #[test]
        fn a_client_is_told_only_what_it_has_offered(
            offered in prop::sample::subsequence(
                vec![
                    "a", "b", "bulkhead.v1", "bulkhead.token.YQ", "bulkhead.token.Yg", "bulkhead.resume.v1", "bulkhead.resume.v1+a",
                    "bulkhead.resume.v1+b", "bulkhead.resume.v1+c",
                ],
                0..=9,
            ).prop_shuffle(),
            resumes in any::<bool>(),
            selected in any::<Option<prop::sample::Index>>(),
        ) {
            let mut headers = headers(&offered.join(", "));
            let Ok(offer) = Offer::of(&headers, resumes) else { return Ok(()) };
            offer.tell_application(&mut headers);
            let seen: Vec<String> = list(&headers, SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
            prop_assert!(seen.iter().all(|it| ["a", "b", "c"].contains(&it.as_str())));
            let selected = selected.filter(|_| !seen.is_empty()).map(|at| at.get(&seen).as_str());
            let Ok(choice) = offer.choose(selected) else {
                prop_assert!(selected.is_none());
                return Ok(());
            };
            if let Some(told) = &choice.told {
                prop_assert!(offered.contains(&told.as_str()) && !told.contains("token"));
            } else {
                prop_assert!(selected.is_none());
            }
            prop_assert!(resumes || !choice.resumes);
        }
    }

    #[test]
    fn a_plain_request_keeps_the_subprotocols_that_are_not_ours() {
        for (said, kept) in [
            (vec!["chat, v2"], Some("chat, v2")),
            (vec!["bulkhead.token.YQ"], None),
            (
                vec!["chat", "bulkhead.v1, bulkhead.token.YQ, v2"],
                Some("chat, v2"),
            ),
            (vec!["bulkhead.session.x.1"], None),
            (vec![], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in &said {
                headers.append(SEC_WEBSOCKET_PROTOCOL, line.parse().unwrap());
            }
            without_our_protocols(&mut headers);
            let left: Vec<_> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().collect();
            assert_eq!(left, kept.iter().collect::<Vec<_>>(), "{said:?}");
        }
    }
}
