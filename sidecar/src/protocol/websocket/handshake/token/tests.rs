//! Each place by its own standard, and the order among them.

use TokenPlace::{Authorization, Cookie, Header, Query, Subprotocol};
use http::{HeaderValue, Request};
use proptest::prelude::*;

use super::*;

type Headers<'a> = &'a [(&'a str, &'a str)];

fn sources(list: &[(TokenPlace, &str)]) -> Vec<TokenSource> {
    let source = |(source, name): &(TokenPlace, &str)| TokenSource {
        source: *source,
        key: (!name.is_empty()).then(|| (*name).to_owned()),
    };
    list.iter().map(source).collect()
}

/// Values are taken as bytes: a client may send any.
fn parts(uri: &str, headers: &[(&str, &[u8])]) -> Parts {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

/// What is found: `Err` holds the refusal's words.
fn found(
    uri: &str,
    headers: Headers<'_>,
    list: &[(TokenPlace, &str)],
) -> Result<Option<(String, TokenPlace)>, String> {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    find_token(&mut parts(uri, &headers), &sources(list))
        .map(|found| found.map(|it| (it.text, it.place)))
        .map_err(|refusal| refusal.message())
}

#[test]
fn each_place_is_read_as_its_standard_says() {
    type Row<'a> = (&'a str, Headers<'a>, (TokenPlace, &'a str), Option<&'a str>);
    let rows: &[Row<'_>] = &[
        (
            "/",
            &[("authorization", "Bearer abc")],
            (Authorization, ""),
            Some("abc"),
        ),
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
            &[("authorization", "Bearerabc")],
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
            &[("authorization", "Bearer ")],
            (Authorization, ""),
            None,
        ),
        ("/", &[("authorization", "abc")], (Authorization, ""), None),
        (
            "/",
            &[
                ("authorization", "Basic eA=="),
                ("authorization", "Bearer abc"),
            ],
            (Authorization, ""),
            Some("abc"),
        ),
        (
            "/",
            &[
                ("authorization", "Bearer abc"),
                ("authorization", "bearer abc"),
            ],
            (Authorization, ""),
            Some("abc"),
        ),
        (
            "/",
            &[("x-user", " alice ")],
            (Header, "X-User"),
            Some("alice"),
        ),
        ("/", &[("x-user", "Ülle")], (Header, "X-User"), Some("Ülle")),
        ("/", &[("x_user", "alice")], (Header, "X-User"), None),
        (
            "/",
            &[("x-user", "alice, bob")],
            (Header, "X-User"),
            Some("alice, bob"),
        ),
        ("/", &[("x-user", "")], (Header, "X-User"), None),
        ("/", &[("x-user", "alice")], (Header, "not a name"), None),
        (
            "/",
            &[("cookie", "session=abc")],
            (Cookie, "session"),
            Some("abc"),
        ),
        (
            "/",
            &[("cookie", "a=1; session=\"abc\"; b=2")],
            (Cookie, "session"),
            Some("abc"),
        ),
        (
            "/",
            &[("cookie", "a=1;session=abc;")],
            (Cookie, "session"),
            Some("abc"),
        ),
        (
            "/",
            &[("cookie", " session = abc ")],
            (Cookie, "session"),
            Some("abc"),
        ),
        (
            "/",
            &[("cookie", "session=a=b==")],
            (Cookie, "session"),
            Some("a=b=="),
        ),
        (
            "/",
            &[("cookie", "session=\"abc")],
            (Cookie, "session"),
            Some("\"abc"),
        ),
        (
            "/",
            &[("cookie", "session=\"")],
            (Cookie, "session"),
            Some("\""),
        ),
        (
            "/",
            &[("cookie", "session=\"\"")],
            (Cookie, "session"),
            None,
        ),
        (
            "/",
            &[("cookie", "session=%41")],
            (Cookie, "session"),
            Some("%41"),
        ),
        (
            "/",
            &[("cookie", "a=1"), ("cookie", "session=abc")],
            (Cookie, "session"),
            Some("abc"),
        ),
        (
            "/",
            &[("cookie", "name=Ülle; session=abc")],
            (Cookie, "session"),
            Some("abc"),
        ),
        (
            "/",
            &[("cookie", "xsession=abc")],
            (Cookie, "session"),
            None,
        ),
        ("/", &[("cookie", "Session=abc")], (Cookie, "session"), None),
        (
            "/",
            &[("cookie", "a=\"; session=abc; \"")],
            (Cookie, "session"),
            Some("abc"),
        ),
        ("/", &[("cookie", "session")], (Cookie, "session"), None),
        ("/?token=a%2Bc&x=1", &[], (Query, "token"), Some("a+c")),
        ("/?token=%C3%9Clle", &[], (Query, "token"), Some("Ülle")),
        ("/?token=abc&token=abc", &[], (Query, "token"), Some("abc")),
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
            &[
                ("sec-websocket-protocol", "chat"),
                ("sec-websocket-protocol", "bulkhead.token.YWJj"),
            ],
            (Subprotocol, ""),
            Some("abc"),
        ),
        (
            "/",
            &[("sec-websocket-protocol", "bulkhead.token.")],
            (Subprotocol, ""),
            None,
        ),
        (
            "/",
            &[("sec-websocket-protocol", "Bulkhead.token.YWJj")],
            (Subprotocol, ""),
            None,
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
            found(uri, headers, &[*source]),
            Ok(expected),
            "{uri} {headers:?}"
        );
    }
}

#[test]
fn two_tokens_in_one_place_are_refused_and_so_is_what_none_can_be() {
    let rows: &[(&str, Headers<'_>, (TokenPlace, &str), &str)] = &[
        (
            "/",
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
            (Authorization, ""),
            "two different",
        ),
        (
            "/",
            &[("authorization", "Bearer a"), ("authorization", "Bearer ")],
            (Authorization, ""),
            "two different",
        ),
        (
            "/",
            &[("x-user", "a"), ("x-user", "b")],
            (Header, "x-user"),
            "two different",
        ),
        (
            "/",
            &[("x-user", ""), ("x-user", "b")],
            (Header, "x-user"),
            "two different",
        ),
        (
            "/",
            &[("cookie", "s=a; s=b")],
            (Cookie, "s"),
            "two different",
        ),
        (
            "/",
            &[("cookie", "s=a"), ("cookie", "s=b")],
            (Cookie, "s"),
            "two different",
        ),
        ("/?t=a&t=b", &[], (Query, "t"), "two different"),
        ("/?t=a&%74=b", &[], (Query, "t"), "two different"),
        ("/?t=%ff", &[], (Query, "t"), "UTF-8"),
        ("/?t=%f", &[], (Query, "t"), "percent-encoded"),
        (
            "/",
            &[(
                "sec-websocket-protocol",
                "bulkhead.token.YQ, bulkhead.token.Yg",
            )],
            (Subprotocol, ""),
            "two different",
        ),
        (
            "/",
            &[("sec-websocket-protocol", "bulkhead.token.!")],
            (Subprotocol, ""),
            "base64url",
        ),
        (
            "/",
            &[("sec-websocket-protocol", "bulkhead.token.YQ==")],
            (Subprotocol, ""),
            "base64url",
        ),
        (
            "/",
            &[("sec-websocket-protocol", "bulkhead.token._w")],
            (Subprotocol, ""),
            "UTF-8",
        ),
    ];
    for (uri, headers, source, words) in rows {
        let refused = found(uri, headers, &[*source]).unwrap_err();
        assert!(refused.contains(words), "{uri} {headers:?}: {refused}");
    }
    for (name, value, source) in [
        ("authorization", &b"Bearer \xff"[..], (Authorization, "")),
        ("cookie", b"s=\xff", (Cookie, "s")),
        ("x-user", b"\xff", (Header, "x-user")),
    ] {
        assert!(find_token(&mut parts("/", &[(name, value)]), &sources(&[source])).is_err());
    }
    let other = found("/", &[("cookie", "s=a; t=\u{fc}")], &[(Cookie, "s")]);
    assert_eq!(
        other,
        Ok(Some(("a".into(), Cookie))),
        "somebody else's cookie"
    );
}

#[test]
fn the_policys_order_decides() {
    let headers = [("authorization", "Bearer first"), ("cookie", "s=second")];
    let places = [(Cookie, "s"), (Authorization, "")];
    assert_eq!(
        found("/", &headers, &places),
        Ok(Some(("second".into(), Cookie)))
    );
    assert_eq!(
        found("/", &headers[..1], &places),
        Ok(Some(("first".into(), Authorization)))
    );
    let of_two = [(Cookie, "r"), (Cookie, "s")];
    assert_eq!(
        found("/", &headers, &of_two),
        Ok(Some(("second".into(), Cookie)))
    );
    assert_eq!(found("/", &headers, &[]), Ok(None));
    // A place in disorder is refused though an earlier one is used: nobody knows then what another reader would take.
    let crossed = [("authorization", "Bearer a"), ("cookie", "s=a; s=b")];
    assert!(found("/", &crossed, &[(Authorization, ""), (Cookie, "s")]).is_err());
}

#[test]
fn a_token_leaves_the_address_though_another_was_used_or_none_is_believed() {
    let list = sources(&[(Authorization, ""), (Query, "token"), (Query, "t")]);
    for (authorization, taken) in [(&b"Bearer abc"[..], true), (b"Bearer \xff", false)] {
        for (uri, left) in [
            ("/a?token=x", "/a"),
            ("/a?b=%20&t=y&token=x&c=+", "/a?b=%20&c=+"),
            ("/a?b", "/a?b"),
        ] {
            let mut parts = parts(uri, &[("authorization", authorization)]);
            let found = find_token(&mut parts, &list);
            assert_eq!(found.is_ok(), taken);
            assert_eq!(parts.uri.to_string(), left);
        }
    }
}

proptest! {
    /// A cookie is found among any others, whatever they hold, and no other cookie is taken for it.
    #[test]
    fn a_cookie_is_found_among_any_others(
        before in prop::collection::vec("[a-rt-z\"=,ü ]{0,6}", 0..4),
        after in prop::collection::vec("[a-rt-z\"=,ü ]{0,6}", 0..4),
        value in "[!-:<-~&&[^\"]]{1,8}",
        quoted in any::<bool>(),
        lines in any::<bool>(),
    ) {
        let ours = if quoted { format!("s=\"{value}\"") } else { format!("s={value}") };
        let all = [before, vec![ours], after].concat();
        let lines: Vec<String> = if lines { all } else { vec![all.join("; ")] };
        let headers: Vec<_> = lines.iter().map(|line| ("cookie", line.as_bytes())).collect();
        let found = find_token(&mut parts("/", &headers), &sources(&[(Cookie, "s")])).unwrap();
        prop_assert_eq!(found.map(|it| it.text), Some(value));
        let none = find_token(&mut parts("/", &headers), &sources(&[(Cookie, "S")])).unwrap();
        prop_assert_eq!(none, None);
    }

    /// Any header gets an answer.
    #[test]
    fn any_bytes_get_an_answer(value in "[ -~\u{80}-\u{ff}]{0,40}", query in "[!-~&&[^#<>\"`{}|\\\\^]]{0,30}") {
        let names = ["authorization", "cookie", "x-user", "sec-websocket-protocol"];
        let headers: Vec<_> = names.iter().map(|name| (*name, value.as_bytes())).collect();
        let all = sources(&[(Authorization, ""), (Header, "x-user"), (Cookie, "s"), (Query, "t"), (Subprotocol, "")]);
        if let Ok(uri) = format!("/?{query}").parse::<http::Uri>() {
            let _ = find_token(&mut parts(&uri.to_string(), &headers), &all);
        }
    }
}
