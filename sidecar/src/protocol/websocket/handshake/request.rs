//! What a request is: an upgrade to WebSocket, one that is wrong, or something else (RFC 6455, section 4.2.1).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Version};

use super::list;
use super::refusal::Refusal;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Anything but a WebSocket.
    Plain,
    /// A WebSocket, in good order.
    WebSocket,
}

/// Says what a request asks for.
///
/// # Errors
/// It asks for a WebSocket and breaks a rule of the handshake.
pub fn arrival(request: &Parts) -> Result<Arrival, Refusal> {
    let headers = &request.headers;
    // Only HTTP/1.1 has the header (RFC 9113, section 8.2.2).
    if request.version > Version::HTTP_11 || !asks_for_web_socket(headers) {
        return Ok(Arrival::Plain);
    }
    let malformed = |what| Err(Refusal::Malformed(what));
    if request.method != Method::GET {
        return malformed("an upgrade to WebSocket is a GET (RFC 6455, section 4.1)");
    }
    if request.version != Version::HTTP_11 {
        return malformed("an upgrade to WebSocket needs HTTP/1.1 (RFC 6455, section 4.1)");
    }
    if headers.get_all(HOST).iter().count() != 1 {
        return malformed("an upgrade to WebSocket has one Host header (RFC 6455, section 4.1)");
    }
    if !list(headers, CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade")) {
        return malformed("an upgrade is named in the Connection header (RFC 6455, section 4.1)");
    }
    let mut versions = headers.get_all(SEC_WEBSOCKET_VERSION).iter();
    match (versions.next(), versions.next()) {
        (Some(version), None) if version == "13" => {}
        _ => return Err(Refusal::Version),
    }
    if !has_one_key(headers) {
        return malformed("Sec-WebSocket-Key is 16 bytes in base64, once (RFC 6455, section 4.1)");
    }
    Ok(Arrival::WebSocket)
}

fn asks_for_web_socket(headers: &HeaderMap) -> bool {
    list(headers, UPGRADE).any(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

fn has_one_key(headers: &HeaderMap) -> bool {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return false;
    };
    BASE64_STANDARD
        .decode(key.as_bytes())
        .is_ok_and(|nonce| nonce.len() == 16)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("host", "chat.example"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn asked(change: impl FnOnce(&mut Parts)) -> Result<Arrival, u16> {
        let mut request = Request::get("/ws");
        for (name, value) in GOOD {
            request = request.header(name, value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        change(&mut parts);
        arrival(&parts).map_err(|refusal| refusal.status().as_u16())
    }

    #[test]
    fn an_upgrade_in_good_order_is_one() {
        assert_eq!(asked(|_| {}), Ok(Arrival::WebSocket));
        let listed = asked(|parts| {
            parts
                .headers
                .insert(UPGRADE, "h2c, websocket".parse().unwrap());
        });
        assert_eq!(listed, Ok(Arrival::WebSocket));
    }

    #[test]
    fn what_asks_for_something_else_is_plain() {
        for (name, value) in [("upgrade", "h2c"), ("upgrade", "websockets")] {
            let plain = asked(|parts| {
                parts.headers.insert(name, value.parse().unwrap());
            });
            assert_eq!(plain, Ok(Arrival::Plain));
        }
        assert_eq!(
            asked(|parts| parts.version = Version::HTTP_2),
            Ok(Arrival::Plain)
        );
        assert_eq!(
            asked(|parts| drop(parts.headers.remove(UPGRADE))),
            Ok(Arrival::Plain)
        );
    }

    #[test]
    fn an_upgrade_that_breaks_a_rule_is_refused() {
        assert_eq!(asked(|parts| parts.method = Method::POST), Err(400));
        assert_eq!(asked(|parts| parts.version = Version::HTTP_10), Err(400));
        for name in ["host", "connection", "sec-websocket-key"] {
            assert_eq!(
                asked(|parts| drop(parts.headers.remove(name))),
                Err(400),
                "{name}"
            );
        }
        for (name, value, status) in [
            ("connection", "keep-alive", 400),
            ("sec-websocket-key", "c2hvcnQ=", 400),
            ("sec-websocket-key", "not base64 at all", 400),
            ("sec-websocket-version", "8", 426),
        ] {
            let refused = asked(|parts| {
                parts.headers.insert(name, value.parse().unwrap());
            });
            assert_eq!(refused, Err(status), "{name}: {value}");
        }
        for (name, value, status) in [
            ("host", "other", 400),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==", 400),
            ("sec-websocket-version", "13", 426),
        ] {
            let twice = asked(|parts| {
                parts.headers.append(name, value.parse().unwrap());
            });
            assert_eq!(twice, Err(status), "{name} twice");
        }
    }
}
