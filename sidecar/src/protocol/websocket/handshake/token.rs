//! Where a token is looked for, in the policy's order, and what of the request is taken away with it.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bulkhead_crds::kinds::{TokenPlace, TokenSource};
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};

use super::list;
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

/// The first place of the policy's list in which there is something. A query parameter that may carry a token is taken out of the
/// request's address, whichever place was used: addresses stand in logs.
///
/// # Errors
/// A place says two different things, or what no token can be.
pub fn find_token(request: &mut Parts, sources: &[TokenSource]) -> Result<Option<Found>, Refusal> {
    let mut found = None;
    for source in sources {
        let name = source.key.as_deref().unwrap_or_default();
        let headers = &request.headers;
        let text = match source.source {
            TokenPlace::Authorization => {
                one(headers.get_all(AUTHORIZATION).iter().filter_map(bearer))?
            }
            TokenPlace::Header => one(header(headers, name))?,
            TokenPlace::Cookie => one(cookies(headers, name))?,
            TokenPlace::Query => one(take_from_query(&mut request.uri, name).into_iter())?,
            TokenPlace::Subprotocol => from_protocols(headers)?,
        };
        if found.is_none() {
            found = text.map(|text| Found {
                text,
                place: source.source,
            });
        }
    }
    Ok(found)
}

/// The one thing that is said, however often.
fn one(mut values: impl Iterator<Item = String>) -> Result<Option<String>, Refusal> {
    let first = values.next();
    if values.any(|other| Some(&other) != first.as_ref()) {
        return Err(Refusal::Malformed(
            "the request carries two different tokens in one place",
        ));
    }
    Ok(first.filter(|text| !text.is_empty()))
}

/// RFC 6750, section 2.1; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(value: &http::HeaderValue) -> Option<String> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = String> + 'a {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| Some(value.to_str().ok()?.trim().to_owned()))
}

/// RFC 6265, section 5.4: pairs between semicolons; a value may stand in quotes (section 4.1.1).
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = String> + 'a {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(move |(known, _)| known.trim() == name)
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
}

/// The values of a query parameter, which goes; the rest of the address stays byte by byte.
fn take_from_query(uri: &mut Uri, name: &str) -> Vec<String> {
    let Some(query) = uri.query() else {
        return Vec::new();
    };
    let is_ours = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        percent_decoded(key).as_deref() == Some(name)
    };
    let (ours, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_ours);
    if ours.is_empty() {
        return Vec::new();
    }
    let values = ours
        .iter()
        .filter_map(|pair| percent_decoded(pair.split_once('=')?.1))
        .collect();
    let rest = match others.as_slice() {
        [] => uri.path().to_owned(),
        others => format!("{}?{}", uri.path(), others.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    // What is left of an address is one, but it was made by a client: without a doubt nothing of the token may stay.
    parts.path_and_query = rest
        .parse::<PathAndQuery>()
        .ok()
        .or_else(|| Some(PathAndQuery::from_static("/")));
    *uri = Uri::from_parts(parts).unwrap_or_default();
    values
}

/// `application/x-www-form-urlencoded`, as browsers write queries.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (char::from(bytes.next()?), char::from(bytes.next()?));
                u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn from_protocols(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut found = None;
    for encoded in
        list(headers, SEC_WEBSOCKET_PROTOCOL).filter_map(|it| it.strip_prefix(TOKEN_PROTOCOL))
    {
        let text = BASE64_URL_SAFE_NO_PAD
            .decode(encoded)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(Refusal::Malformed(
                "the subprotocol bulkhead.token.… carries no base64url (RFC 4648, section 5, without padding)",
            ))?;
        if found.replace(text).is_some() {
            return Err(Refusal::Malformed(
                "the request carries two tokens in Sec-WebSocket-Protocol",
            ));
        }
    }
    Ok(found.filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn sources(list: &[(TokenPlace, &str)]) -> Vec<TokenSource> {
        list.iter()
            .map(|(source, name)| TokenSource {
                source: *source,
                key: (!name.is_empty()).then(|| (*name).to_owned()),
            })
            .collect()
    }

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn found(
        uri: &str,
        headers: &[(&str, &str)],
        list: &[(TokenPlace, &str)],
    ) -> Result<Option<(String, TokenPlace)>, ()> {
        find_token(&mut parts(uri, headers), &sources(list))
            .map(|found| found.map(|it| (it.text, it.place)))
            .map_err(drop)
    }

    #[test]
    fn each_place_is_read_as_its_standard_says() {
        use TokenPlace::*;
        let rows: [(&str, &[(&str, &str)], (TokenPlace, &str), Option<&str>); 14] = [
            (
                "/",
                &[("authorization", "bEaReR  abc ")],
                (Authorization, ""),
                Some("abc"),
            ),
            (
                "/",
                &[("authorization", "Basic abc")],
                (Authorization, ""),
                None,
            ),
            (
                "/",
                &[("authorization", "Bearer")],
                (Authorization, ""),
                None,
            ),
            (
                "/",
                &[("x-user", " alice ")],
                (Header, "X-User"),
                Some("alice"),
            ),
            (
                "/",
                &[("cookie", "a=1; session=\"abc\"; b=2")],
                (Cookie, "session"),
                Some("abc"),
            ),
            (
                "/",
                &[("cookie", "a=1"), ("cookie", "session=abc")],
                (Cookie, "session"),
                Some("abc"),
            ),
            (
                "/",
                &[("cookie", "xsession=abc")],
                (Cookie, "session"),
                None,
            ),
            ("/?token=a%2Bc&x=1", &[], (Query, "token"), Some("a+c")),
            ("/?t%6fken=abc", &[], (Query, "token"), Some("abc")),
            ("/?tokens=abc", &[], (Query, "token"), None),
            ("/?token", &[], (Query, "token"), None),
            (
                "/",
                &[("sec-websocket-protocol", "chat, bulkhead.token.YWJj")],
                (Subprotocol, ""),
                Some("abc"),
            ),
            (
                "/",
                &[("sec-websocket-protocol", "chat")],
                (Subprotocol, ""),
                None,
            ),
            ("/", &[], (Subprotocol, ""), None),
        ];
        for (uri, headers, source, expected) in rows {
            let expected = expected.map(|text| (text.to_owned(), source.0));
            assert_eq!(
                found(uri, headers, &[source]),
                Ok(expected),
                "{uri} {headers:?}"
            );
        }
    }

    #[test]
    fn the_policys_order_decides_and_two_tokens_in_one_place_are_refused() {
        use TokenPlace::*;
        let headers = [("authorization", "Bearer first"), ("cookie", "s=second")];
        let both = [(Cookie, "s"), (Authorization, "")];
        assert_eq!(
            found("/", &headers, &both),
            Ok(Some(("second".into(), Cookie)))
        );
        assert_eq!(
            found("/", &headers[..1], &both),
            Ok(Some(("first".into(), Authorization)))
        );
        let twice = [("cookie", "s=a; s=b")];
        assert_eq!(found("/", &twice, &both), Err(()));
        assert_eq!(
            found("/", &[("cookie", "s=a; s=a")], &both),
            Ok(Some(("a".into(), Cookie)))
        );
        let protocols = [(
            "sec-websocket-protocol",
            "bulkhead.token.YQ, bulkhead.token.Yg",
        )];
        assert_eq!(found("/", &protocols, &[(Subprotocol, "")]), Err(()));
        let broken = [("sec-websocket-protocol", "bulkhead.token.!")];
        assert_eq!(found("/", &broken, &[(Subprotocol, "")]), Err(()));
    }

    #[test]
    fn a_token_leaves_the_address_though_another_was_used() {
        let list = sources(&[
            (TokenPlace::Authorization, ""),
            (TokenPlace::Query, "token"),
        ]);
        for (uri, left) in [
            ("/a?token=x", "/a"),
            ("/a?b=%20&token=x&c=+", "/a?b=%20&c=+"),
            ("/a?token=x&token=x", "/a"),
            ("/a?b", "/a?b"),
        ] {
            let mut parts = parts(uri, &[("authorization", "Bearer abc")]);
            let found = find_token(&mut parts, &list).unwrap().unwrap();
            assert_eq!(
                (found.text.as_str(), parts.uri.to_string().as_str()),
                ("abc", left)
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_not_the_token_stays_byte_by_byte(
            before in "[a-z]{0,3}(=[a-z%0-9A-F+]{0,4})?",
            after in "[a-z]{0,3}(=[a-z%0-9A-F+]{0,4})?",
        ) {
            prop_assume!(!before.is_empty() && !after.is_empty());
            let uri = format!("/p?{before}&secret=abc&{after}");
            if let Ok(uri) = uri.parse::<Uri>() {
                let mut uri = uri;
                let values = take_from_query(&mut uri, "secret");
                prop_assert_eq!(values, ["abc"]);
                prop_assert_eq!(uri.to_string(), format!("/p?{before}&{after}"));
            }
        }
    }
}
