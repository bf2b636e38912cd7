//! Rules about where a WebSocket client's token is looked for.

use super::rule::{Complaint, Complaints, complain, per_web_socket, web_socket};
use crate::effective::{EffectivePolicy, EffectiveWebSocket};
use crate::kinds::{TokenPlace, TokenSource};

/// What every header of Bulkhead's own begins with, whatever stands for the hyphens.
const OURS: &str = "x-bulkhead-";
/// Headers that concern one hop alone, by RFC 9110, section 7.6.1, or by what clients make of them.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A place that has a name is looked for by it, and one that has none cannot be given one.
pub(super) fn key(policy: &EffectivePolicy) -> Complaints {
    per_token(policy, |source| {
        let what = what_key_names(source.source);
        let message = match (what, &source.key) {
            (Some(what), None) => format!(
                "is missing, and source {} needs it: write the name of {what}",
                source.source
            ),
            (None, Some(key)) => format!(
                "is {key}, and source {} has none: leave it out, or use source Header, Cookie or Query",
                source.source
            ),
            _ => return None,
        };
        Some((".key", message))
    })
}

const fn what_key_names(place: TokenPlace) -> Option<&'static str> {
    match place {
        TokenPlace::Header => Some("the header"),
        TokenPlace::Cookie => Some("the cookie"),
        TokenPlace::Query => Some("the query parameter"),
        TokenPlace::Authorization | TokenPlace::Subprotocol => None,
    }
}

/// A place is looked at once.
pub(super) fn twice(policy: &EffectivePolicy) -> Complaints {
    per_web_socket(policy, |one| {
        let repeated = |(at, source): (usize, &TokenSource)| {
            let first = one.tokens[..at].iter().position(|it| same(it, source))?;
            let message =
                format!("{source} is looked at already, by tokens[{first}]: leave it out");
            Some(complain(path(one, at, ""), message))
        };
        one.tokens.iter().enumerate().filter_map(repeated).collect()
    })
}

/// Names of headers have no case (RFC 9110, section 5.1); those of cookies and query parameters have.
fn same(one: &TokenSource, other: &TokenSource) -> bool {
    let folded = |source: &TokenSource| {
        let key = source.key.clone();
        if source.source == TokenPlace::Header {
            return key.map(|key| key.to_ascii_lowercase());
        }
        key
    };
    one.source == other.source && folded(one) == folded(other)
}

/// Headers in which no token of a user's arrives, or which another source reads as they are meant.
pub(super) fn header(policy: &EffectivePolicy) -> Complaints {
    per_token(policy, |source| {
        let key = source.key.as_ref()?;
        if source.source != TokenPlace::Header {
            return None;
        }
        Some((".key", format!("{key} {}", header_fault(key)?)))
    })
}

fn header_fault(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let hyphened = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    Some(match name.as_str() {
        "authorization" => {
            "holds a scheme before the token: write `{source: Authorization}`, which reads `Bearer TOKEN`"
        }
        "cookie" => {
            "holds all cookies: write `{source: Cookie, key: NAME}` with the name of the one"
        }
        "sec-websocket-protocol" => {
            "holds all subprotocols: write `{source: Subprotocol}`, which reads `bulkhead.token.…` among them"
        }
        _ if hyphened.starts_with(OURS) => {
            "is what the sidecar tells the application, and nobody else's word: choose a name that does not begin with `x-bulkhead-`"
        }
        one if HOP_BY_HOP.contains(&one) => {
            "concerns one hop alone (RFC 9110, section 7.6.1), so a proxy on the way takes it away: choose another header"
        }
        "host" | "origin" => {
            "says which site or page is asked for, and not by whom: choose another header"
        }
        one if one.starts_with("content-") || one.starts_with("sec-websocket-") => {
            "says how the request is to be read, and not whose it is: choose another header"
        }
        _ => return None,
    })
}

/// Addresses are written down everywhere.
pub(super) fn in_address(policy: &EffectivePolicy) -> Complaints {
    per_token(policy, |source| {
        let message = format!(
            "the query parameter {} is a part of the address, which proxies and load balancers before the sidecar write into their logs: use Subprotocol for pages, Authorization for other clients",
            source.key.as_deref().unwrap_or_default()
        );
        (source.source == TokenPlace::Query).then_some(("", message))
    })
}

/// A browser sends a cookie along whichever page asks.
pub(super) fn cookie_origins(policy: &EffectivePolicy) -> Complaints {
    per_web_socket(policy, |one| {
        // One without a name is an error, of another rule.
        let mut cookies = one
            .tokens
            .iter()
            .filter(|source| source.source == TokenPlace::Cookie);
        let Some(key) = cookies.find_map(|source| source.key.as_ref()) else {
            return Vec::new();
        };
        let message = match &one.allowed_origins {
            None => format!(
                "is missing, and a token from the cookie {key} then counts only for pages of the very host that was asked: name the application's pages, such as `https://chat.example`"
            ),
            Some(origins) if origins.iter().any(|origin| origin == "*") => format!(
                "is `*`, and browsers send the cookie {key} along whichever page asks, so that any page on the web may use the application as its visitor: name the application's pages, such as `https://chat.example`"
            ),
            Some(_) => return Vec::new(),
        };
        vec![complain(web_socket(&one.name, "allowedOrigins"), message)]
    })
}

/// What `check` has to say of each source: a field below it, or nothing for itself, and what is wrong.
fn per_token(
    policy: &EffectivePolicy,
    check: impl Fn(&TokenSource) -> Option<(&'static str, String)>,
) -> Complaints {
    per_web_socket(policy, |one| {
        let complaint = |(at, source): (usize, &TokenSource)| -> Option<Complaint> {
            let (field, message) = check(source)?;
            Some(complain(path(one, at, field), message))
        };
        one.tokens
            .iter()
            .enumerate()
            .filter_map(complaint)
            .collect()
    })
}

fn path(one: &EffectiveWebSocket, at: usize, field: &str) -> String {
    web_socket(&one.name, &format!("tokens[{at}]{field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_in_a_header_of_its_own() {
        for refused in [
            "Authorization",
            "COOKIE",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Key",
            "X-Bulkhead-User",
            "x_bulkhead_context",
            "x.bulkhead-anything",
            "Connection",
            "Proxy-Authorization",
            "TE",
            "Host",
            "Origin",
            "Content-Type",
        ] {
            assert!(header_fault(refused).is_some(), "{refused}");
        }
        for taken in [
            "X-Auth-Request-User",
            "X-Forwarded-User",
            "x-bulkhead",
            "x-bulkheads",
            "xabulkheadauser",
            "x-api-key",
            "cookie2",
        ] {
            assert_eq!(header_fault(taken), None, "{taken}");
        }
    }
}
