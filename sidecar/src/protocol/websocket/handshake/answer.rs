//! What the application answers to an upgrade (RFC 6455, sections 4.1 and 4.2.2).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};

use super::extensions::{Compressed, agreed};
use super::list;
use super::offer::{Choice, Offer};
use super::refusal::Refusal;

/// What RFC 6455, section 1.3, appends to the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// An answer in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The subprotocol that the client is told.
    pub choice: Choice,
    /// Whether messages are compressed.
    pub compressed: Compressed,
}

/// Checks the headers of a 101 to the key and the offer that the application was given.
///
/// # Errors
/// A rule that it breaks: whoever is behind the port does not speak WebSocket, or not well.
pub fn check_answer(
    headers: &HeaderMap,
    key: &HeaderValue,
    offer: &Offer,
    offered_compression: bool,
) -> Result<Accepted, Refusal> {
    let bad = |what| Err(Refusal::BadAnswer(what));
    if !list(headers, UPGRADE).any(|it| it.eq_ignore_ascii_case("websocket")) {
        return bad("it does not upgrade to websocket");
    }
    if !list(headers, CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade")) {
        return bad("its Connection header names no upgrade");
    }
    let accept = headers.get(SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != accept_of(key).as_bytes()) {
        return bad("its Sec-WebSocket-Accept is not the one of the key");
    }
    let mut selected = list(headers, SEC_WEBSOCKET_PROTOCOL);
    let choice = match (selected.next(), selected.next()) {
        (selected, None) => offer.choose(selected)?,
        (_, Some(_)) => return bad("it selects two subprotocols"),
    };
    Ok(Accepted {
        choice,
        compressed: agreed(headers, offered_compression)?,
    })
}

/// The answer to a key: its only use of SHA-1 is to show that the peer has read the request.
#[must_use]
pub fn accept_of(key: &HeaderValue) -> String {
    let both = [key.as_bytes(), GUID].concat();
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &both))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455, section 1.3.
    const KEY: HeaderValue = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");

    fn checked(change: impl FnOnce(&mut HeaderMap)) -> Result<Accepted, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        let accept = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        change(&mut headers);
        check_answer(&headers, &KEY, &Offer::default(), false)
    }

    #[test]
    fn the_standards_own_example_is_accepted() {
        assert!(checked(|_| {}).is_ok());
    }

    #[test]
    fn an_answer_that_breaks_a_rule_is_none() {
        for (name, value) in [
            (UPGRADE, "h2c"),
            (CONNECTION, "close"),
            (SEC_WEBSOCKET_ACCEPT, "AAAALMBiTxaQ9kYGzzhZRbK+xOo="),
            (SEC_WEBSOCKET_PROTOCOL, "chat"),
        ] {
            let wrong = checked(|headers| {
                drop(headers.insert(name.clone(), HeaderValue::from_static(value)))
            });
            assert!(wrong.is_err(), "{name}: {value}");
        }
        assert!(checked(|headers| drop(headers.remove(SEC_WEBSOCKET_ACCEPT))).is_err());
    }
}
