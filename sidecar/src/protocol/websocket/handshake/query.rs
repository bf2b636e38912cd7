//! A query parameter that must not travel on, taken out of a request's address.

use http::Uri;
use http::uri::PathAndQuery;

use super::refusal::Refusal;

/// The values of a query parameter, which goes; the rest of the address stays byte by byte.
///
/// # Errors
/// A value's percent-encoding is broken. The parameter has gone all the same.
pub(super) fn take_parameter(uri: &mut Uri, name: &str) -> Result<Vec<Vec<u8>>, Refusal> {
    let Some(query) = uri.query() else {
        return Ok(Vec::new());
    };
    let is_ours = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        decoded(key).is_some_and(|key| key == name.as_bytes())
    };
    let (ours, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_ours);
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    let values = ours
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(_, value)| {
            decoded(value).ok_or(Refusal::Malformed(
                "the token in the address is percent-encoded, and not well (RFC 3986, section 2.1)",
            ))
        })
        .collect();
    *uri = with_query(uri, &others);
    values
}

/// The address with these pairs alone. What is left of an address is one; were it none, nothing of it would be better than the token.
fn with_query(uri: &Uri, pairs: &[&str]) -> Uri {
    let rest = match pairs {
        [] => uri.path().to_owned(),
        pairs => format!("{}?{}", uri.path(), pairs.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    let rest = rest.parse::<PathAndQuery>();
    parts.path_and_query = Some(rest.unwrap_or(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
}

/// `application/x-www-form-urlencoded`, as browsers write queries; none where the encoding is broken.
fn decoded(text: &str) -> Option<Vec<u8>> {
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
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(address: &str, name: &str) -> (Option<Vec<String>>, String) {
        let mut uri: Uri = address.parse().unwrap();
        let values = take_parameter(&mut uri, name).ok();
        let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
        let values = values.map(|values| values.into_iter().map(text).collect());
        (values, uri.to_string())
    }

    #[test]
    fn a_parameter_goes_and_nothing_else_does() {
        let rows: [(&str, Option<&[&str]>, &str); 24] = [
            ("/a", Some(&[]), "/a"),
            ("/a?", Some(&[]), "/a?"),
            ("/a?b", Some(&[]), "/a?b"),
            ("/a?token=x", Some(&["x"]), "/a"),
            ("/a?token=", Some(&[""]), "/a"),
            ("/a?token", Some(&[]), "/a"),
            ("/a?token=x=y==", Some(&["x=y=="]), "/a"),
            ("/a?token=x&token=y", Some(&["x", "y"]), "/a"),
            ("/a?b=%20&token=x&c=+", Some(&["x"]), "/a?b=%20&c=+"),
            ("/a?token=x&", Some(&["x"]), "/a?"),
            ("/a?&token=x", Some(&["x"]), "/a?"),
            ("/a?&&token=x&&", Some(&["x"]), "/a?&&&"),
            ("/a?t%6Fken=x", Some(&["x"]), "/a"),
            ("/a?%74%6f%6b%65%6e=x", Some(&["x"]), "/a"),
            ("/a?token=a%2Bb+c%26d", Some(&["a+b c&d"]), "/a"),
            (
                "/a?Token=x&tokens=x&token[]=x",
                Some(&[]),
                "/a?Token=x&tokens=x&token[]=x",
            ),
            ("/a?b=token=x", Some(&[]), "/a?b=token=x"),
            ("/a?b;token=x", Some(&[]), "/a?b;token=x"),
            ("/token=x?b", Some(&[]), "/token=x?b"),
            ("/a?b=?&token=x", Some(&["x"]), "/a?b=?"),
            // Broken: gone, and refused.
            ("/a?token=%", None, "/a"),
            ("/a?token=%4", None, "/a"),
            ("/a?b&token=%zz", None, "/a?b"),
            (
                "http://chat.example/a?token=x",
                Some(&["x"]),
                "http://chat.example/a",
            ),
        ];
        for (address, values, left) in rows {
            let values = values.map(|values| values.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(
                taken(address, "token"),
                (values, left.to_owned()),
                "{address}"
            );
        }
    }

    #[test]
    fn any_path_and_authority_stay() {
        for (address, left) in [
            ("*", "*"),
            ("/?token=x", "/"),
            ("http://chat.example?token=x", "http://chat.example/"),
            ("http://[::1]:8080/?token=x&b", "http://[::1]:8080/?b"),
            ("/%2e%2e/ü/'\"?token=x&\"b", "/%2e%2e/ü/'\"?\"b"),
        ] {
            let Ok(mut uri) = Uri::try_from(address.as_bytes()) else {
                continue;
            };
            take_parameter(&mut uri, "token").unwrap();
            assert_eq!(uri.to_string(), left);
        }
    }

    proptest! {
        /// Pairs of any kind, of which some are the parameter in some spelling: those go and the others stay, in order and byte by byte.
        #[test]
        fn what_is_not_the_token_stays_byte_by_byte(
            pairs in prop::collection::vec(
                prop_oneof![
                    "(t|%74)(k|%6B|%6b)=[a-z%]{0,4}".prop_map(|pair| (pair, true)),
                    "[a-su-z=;%?/+.~]{0,8}".prop_map(|pair| (pair, false)),
                    "(T|t|tkk|t=|%2574)(=[a-z0-9=%]{0,4})?".prop_map(|pair| (pair, false)),
                ],
                1..8,
            )
        ) {
            let joined = |pairs: &[&(String, bool)]| {
                pairs.iter().map(|(pair, _)| pair.as_str()).collect::<Vec<_>>().join("&")
            };
            let all: Vec<_> = pairs.iter().collect();
            let others: Vec<_> = pairs.iter().filter(|(_, ours)| !ours).collect();
            let mut uri: Uri = format!("/p?{}", joined(&all)).parse().unwrap();
            let _ = take_parameter(&mut uri, "tk");
            let left = if others.is_empty() { "/p".to_owned() } else { format!("/p?{}", joined(&others)) };
            prop_assert_eq!(uri.to_string(), left);
        }

        /// A browser's encoding of any value is read back.
        #[test]
        fn a_value_is_read_as_it_was_written(value in any::<Vec<u8>>()) {
            let encoded: String = value.iter().map(|byte| format!("%{byte:02x}")).collect();
            let mut uri: Uri = format!("/?a&token={encoded}&b").parse().unwrap();
            prop_assert_eq!(take_parameter(&mut uri, "token").unwrap(), vec![value]);
            prop_assert_eq!(uri.to_string(), "/?a&b");
        }
    }
}
