//! What a request is: an upgrade to WebSocket, one that is wrong, or something else (RFC 6455, section 4.2.1).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Version};

use super::list;
use super::refusal::Refusal;

/// What a key is written in. Its last digit holds four bits that mean nothing, and clients that make keys of random digits set them.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

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
    if has_body(headers) {
        return malformed("an upgrade to WebSocket has no body");
    }
    if headers.get_all(ORIGIN).iter().count() > 1 {
        return malformed("a request has one Origin at most (RFC 6454, section 7.3)");
    }
    if !offers_tokens_once(headers) {
        return malformed(
            "Sec-WebSocket-Protocol is a list of tokens, each once (RFC 6455, section 4.1)",
        );
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
    KEY_BASE64
        .decode(key.as_bytes())
        .is_ok_and(|nonce| nonce.len() == 16)
}

/// No server of WebSockets reads one, and what is left unread would be taken for frames.
fn has_body(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    headers.contains_key(TRANSFER_ENCODING) || lengths.any(|length| length != "0")
}

fn offers_tokens_once(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let are_text = lines.all(|line| line.to_str().is_ok());
    let all: Vec<&str> = list(headers, SEC_WEBSOCKET_PROTOCOL).collect();
    let first = |(at, it): (usize, &&str)| !all[..at].contains(it);
    are_text && all.iter().all(|it| is_token(it)) && all.iter().enumerate().all(first)
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

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

    /// The same with one header more, or in the place of the one of this name.
    fn with(name: &'static str, value: &[u8], instead: bool) -> Result<Arrival, u16> {
        let value = HeaderValue::from_bytes(value).unwrap();
        asked(|parts| {
            if instead {
                parts.headers.remove(name);
            }
            parts.headers.append(name, value);
        })
    }

    #[test]
    fn an_upgrade_in_good_order_is_one() {
        assert_eq!(asked(|_| {}), Ok(Arrival::WebSocket));
        for (name, value) in [
            ("upgrade", "websocket"),
            ("upgrade", "WEBSOCKET"),
            ("upgrade", "h2c, websocket"),
            ("upgrade", "h2c ,\twebsocket"),
            ("connection", "Upgrade"),
            ("connection", "UPGRADE"),
            ("connection", ", upgrade ,"),
            ("connection", "close, upgrade"),
            ("host", ""),
            ("host", "[::1]:8080"),
            // The last digit's lower bits mean nothing.
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZR=="),
            ("content-length", "0"),
            ("origin", "null"),
            ("sec-websocket-protocol", "chat, bulkhead.token.YQ"),
            ("sec-websocket-protocol", ""),
            ("sec-websocket-extensions", "\"; not one,"),
        ] {
            assert_eq!(
                with(name, value.as_bytes(), true),
                Ok(Arrival::WebSocket),
                "{name}: {value}"
            );
        }
        for (name, value) in [
            ("connection", "te"),
            ("upgrade", "h2c"),
            ("sec-websocket-protocol", "chat"),
        ] {
            assert_eq!(
                with(name, value.as_bytes(), false),
                Ok(Arrival::WebSocket),
                "{name}: {value} beside"
            );
        }
    }

    #[test]
    fn what_asks_for_something_else_is_plain() {
        for value in ["h2c", "websockets", "TLS/1.0", "web socket", ""] {
            assert_eq!(
                with("upgrade", value.as_bytes(), true),
                Ok(Arrival::Plain),
                "{value}"
            );
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
        for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::CONNECT] {
            assert_eq!(asked(|parts| parts.method = method), Err(400));
        }
        assert_eq!(asked(|parts| parts.version = Version::HTTP_10), Err(400));
        for (name, status) in [
            ("host", 400),
            ("connection", 400),
            ("sec-websocket-key", 400),
            ("sec-websocket-version", 426),
        ] {
            assert_eq!(
                asked(|parts| drop(parts.headers.remove(name))),
                Err(status),
                "{name}"
            );
        }
        let rows: [(&str, &[u8], u16); 25] = [
            ("connection", b"keep-alive", 400),
            ("connection", b"upgraded", 400),
            ("connection", b"\"upgrade\"", 400),
            ("sec-websocket-key", b"", 400),
            ("sec-websocket-key", b"c2hvcnQ=", 400),
            ("sec-websocket-key", b"not base64 at all", 400),
            ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ", 400),
            ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZSE=", 400),
            ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25j_Q==", 400),
            ("sec-websocket-key", b"\xff", 400),
            ("sec-websocket-version", b"8", 426),
            ("sec-websocket-version", b"0", 426),
            ("sec-websocket-version", b"14", 426),
            ("sec-websocket-version", b"013", 426),
            ("sec-websocket-version", b"13, 8", 426),
            ("sec-websocket-version", b"", 426),
            ("content-length", b"5", 400),
            ("content-length", b"00", 400),
            ("content-length", b"-0", 400),
            ("transfer-encoding", b"chunked", 400),
            ("sec-websocket-protocol", b"chat, chat", 400),
            ("sec-websocket-protocol", b"chat room", 400),
            ("sec-websocket-protocol", b"chat; q=1", 400),
            ("sec-websocket-protocol", b"\"chat\"", 400),
            ("sec-websocket-protocol", b"bulkhead.token.YQ, \xff", 400),
        ];
        for (name, value, status) in rows {
            assert_eq!(with(name, value, true), Err(status), "{name}: {value:?}");
        }
        for (name, value, status) in [
            ("host", "other", 400),
            ("host", "chat.example", 400),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==", 400),
            ("sec-websocket-version", "13", 426),
        ] {
            assert_eq!(
                with(name, value.as_bytes(), false),
                Err(status),
                "{name} twice"
            );
        }
        let twice = asked(|parts| {
            for origin in ["https://chat.example", "https://evil"] {
                parts.headers.append(ORIGIN, origin.parse().unwrap());
            }
        });
        assert_eq!(twice, Err(400), "whose page?");
    }
}
