//! Where a token is looked for, in the policy's order.
//!
//! What the application sees of it afterwards: a query parameter and a subprotocol that may carry a token go, whichever place was used,
//! because addresses stand in logs and a subprotocol would have to be selected. `Authorization`, cookies and other headers stay: the
//! application may have its own use for them.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bulkhead_crds::kinds::{TokenPlace, TokenSource};
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::list;
use super::query::take_parameter;
use super::refusal::Refusal;

/// What a subprotocol that carries a token begins with.
pub(super) const TOKEN_PROTOCOL: &str = "bulkhead.token.";

/// A token, or a bare user id where the policy trusts one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The text.
    pub text: String,
    /// Where it was.
    pub place: TokenPlace,
}

/// The first place of the policy's list in which there is something.
///
/// # Errors
/// A place says two different things, or what no token can be.
pub fn find_token(request: &mut Parts, sources: &[TokenSource]) -> Result<Option<Found>, Refusal> {
    // The address first, so that no token is left in it when another place is in disorder.
    let queries: Vec<_> = sources
        .iter()
        .map(|source| match (source.source, &source.key) {
            (TokenPlace::Query, Some(name)) => take_parameter(&mut request.uri, name),
            _ => Ok(Vec::new()),
        })
        .collect();
    let mut found = None;
    for (source, query) in sources.iter().zip(queries) {
        let name = source.key.as_deref().unwrap_or_default();
        let values = match source.source {
            TokenPlace::Authorization => bearers(&request.headers),
            TokenPlace::Header => header(&request.headers, name),
            TokenPlace::Cookie => cookies(&request.headers, name),
            TokenPlace::Query => query?,
            TokenPlace::Subprotocol => protocols(&request.headers)?,
        };
        let text = one(values)?;
        if found.is_none() {
            found = text.map(|text| Found {
                text,
                place: source.source,
            });
        }
    }
    Ok(found)
}

/// The one text that is said, however often.
fn one(values: Vec<Vec<u8>>) -> Result<Option<String>, Refusal> {
    let mut values = values.into_iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != first) {
        return Err(Refusal::Malformed(
            "the request carries two different tokens in one place",
        ));
    }
    let text = String::from_utf8(first)
        .map_err(|_| Refusal::Malformed("the request carries a token that is no text in UTF-8"))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// RFC 6750, section 2.1; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearers(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let bearer = |value: &[u8]| {
        let at = value.iter().position(|byte| *byte == b' ')?;
        let (scheme, token) = value.split_at(at);
        let is_bearer = scheme.eq_ignore_ascii_case(b"bearer");
        is_bearer.then(|| token.trim_ascii().to_vec())
    };
    let values = headers.get_all(AUTHORIZATION).iter();
    values
        .filter_map(|value| bearer(value.as_bytes()))
        .collect()
}

fn header(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    let Ok(name) = name.parse::<HeaderName>() else {
        return Vec::new();
    };
    let values = headers.get_all(name).iter();
    values
        .map(|value| value.as_bytes().trim_ascii().to_vec())
        .collect()
}

/// RFC 6265, section 5.4: pairs between semicolons, of which each is looked at by itself, because others may hold any bytes.
fn cookies(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    let value = |pair: &[u8]| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (known, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        (known == name.as_bytes()).then(|| unquoted(value).to_vec())
    };
    let lines = headers.get_all(COOKIE).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(value)
        .collect()
}

/// A value may stand in quotes, which say nothing (section 4.1.1).
fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|it| it.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

fn protocols(headers: &HeaderMap) -> Result<Vec<Vec<u8>>, Refusal> {
    list(headers, SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|protocol| protocol.strip_prefix(TOKEN_PROTOCOL))
        .map(|encoded| {
            BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(|_| {
                Refusal::Malformed(
                    "the subprotocol bulkhead.token.… carries no base64url (RFC 4648, section 5, without padding)",
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
