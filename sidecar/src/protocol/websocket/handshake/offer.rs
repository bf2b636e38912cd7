//! Subprotocols (RFC 6455, section 1.9): what the client offers, what of it the application sees, and what the client is told.

use http::HeaderMap;
use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;

use super::list;
use super::refusal::Refusal;
use super::token::TOKEN_PROTOCOL;

/// The marker: selected where the application selects nothing and the client has to be given something.
pub(super) const MARKER: &str = "bulkhead.v1";

/// What the client offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The application's own subprotocols, in the client's order.
    theirs: Vec<String>,
    /// Whether there was anything of ours beside them.
    ours: bool,
    marker: bool,
}

/// The subprotocol of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice(Option<String>);

impl Offer {
    /// Reads the offer.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut offer = Self::default();
        for protocol in list(headers, SEC_WEBSOCKET_PROTOCOL) {
            if protocol == MARKER {
                offer.marker = true;
                offer.ours = true;
            } else if protocol.starts_with(TOKEN_PROTOCOL) {
                offer.ours = true;
            } else {
                offer.theirs.push(protocol.to_owned());
            }
        }
        offer
    }

    /// Leaves the application only what is its own.
    pub fn tell_application(&self, headers: &mut HeaderMap) {
        if !self.ours {
            return;
        }
        let rest = HeaderValue::from_str(&self.theirs.join(", ")).ok();
        match rest.filter(|_| !self.theirs.is_empty()) {
            Some(rest) => drop(headers.insert(SEC_WEBSOCKET_PROTOCOL, rest)),
            None => drop(headers.remove(SEC_WEBSOCKET_PROTOCOL)),
        }
    }

    /// Whether the client can be given an answer that it understands, should the application select nothing: browsers close a connection
    /// whose offer was met with silence.
    ///
    /// # Errors
    /// It offers a token, and nothing that can be selected.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.ours && !self.marker && self.theirs.is_empty() {
            return Err(Refusal::Malformed(
                "a token is never selected as the subprotocol: offer bulkhead.v1 beside it",
            ));
        }
        Ok(())
    }

    /// What the client is told, where the application has selected `selected`.
    ///
    /// # Errors
    /// The application has selected what was not offered (RFC 6455, section 4.1).
    pub fn choose(&self, selected: Option<&str>) -> Result<Choice, Refusal> {
        match selected {
            Some(selected) if self.theirs.iter().any(|it| it == selected) => {
                Ok(Choice(Some(selected.to_owned())))
            }
            Some(_) => Err(Refusal::BadAnswer(
                "it selects a subprotocol that was not offered",
            )),
            None if self.marker => Ok(Choice(Some(MARKER.to_owned()))),
            None => Ok(Choice(None)),
        }
    }
}

impl Choice {
    /// Puts it into the answer.
    pub fn tell_client(&self, headers: &mut HeaderMap) {
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        let value = self
            .0
            .as_deref()
            .and_then(|it| HeaderValue::from_str(it).ok());
        if let Some(value) = value {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(protocols: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !protocols.is_empty() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocols.parse().unwrap());
        }
        headers
    }

    fn told(protocols: &str) -> Option<String> {
        let mut headers = headers(protocols);
        Offer::of(&headers).tell_application(&mut headers);
        headers
            .get(SEC_WEBSOCKET_PROTOCOL)
            .map(|it| it.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_application_sees_its_own_subprotocols_only() {
        for (offered, seen) in [
            ("", None),
            ("chat,  graphql-ws", Some("chat,  graphql-ws")),
            ("chat, bulkhead.token.YQ, mqtt", Some("chat, mqtt")),
            ("bulkhead.v1, bulkhead.token.YQ", None),
        ] {
            assert_eq!(told(offered).as_deref(), seen, "{offered}");
        }
    }

    #[test]
    fn a_client_is_told_the_applications_choice_else_the_marker_if_it_knows_it() {
        let choose =
            |offered, selected| Offer::of(&headers(offered)).choose(selected).map(|it| it.0);
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(choose("chat, bulkhead.v1", Some("chat")), some("chat"));
        assert_eq!(choose("chat, bulkhead.v1", None), some(MARKER));
        assert_eq!(choose("chat", None), Ok(None));
        for wrong in ["mqtt", "bulkhead.v1", "bulkhead.token.YQ"] {
            assert!(choose("chat, bulkhead.v1, bulkhead.token.YQ", Some(wrong)).is_err());
        }
    }

    #[test]
    fn a_token_alone_cannot_be_answered() {
        let check = |offered| Offer::of(&headers(offered)).check().is_ok();
        assert!(check("") && check("chat") && check("chat, bulkhead.token.YQ"));
        assert!(check("bulkhead.v1, bulkhead.token.YQ"));
        assert!(!check("bulkhead.token.YQ"));
    }
}
