//! Answers of the sidecar's own that pages of other origins may read (the Fetch standard, section 3.2, "CORS protocol").

use bulkhead_crds::kinds::{TokenPlace, TokenSource};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

/// For how long a browser may go by the answer to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Lets the page that asks read the answer. It may send cookies along where the policy names origins at all: without a list, cookies count for
/// the site's own pages alone, which need no permission.
pub fn let_read(answer: &mut HeaderMap, request: &HeaderMap, allowed: Option<&[String]>) {
    // A cache may not give one page's answer to another.
    answer.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = request.get(ORIGIN) else {
        return;
    };
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if allowed.is_some() {
        let yes = HeaderValue::from_static("true");
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}

/// Lets it send a POST that carries a token in one of the headers of `places`.
pub fn let_post(answer: &mut HeaderMap, places: &[TokenSource]) {
    answer.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST"),
    );
    answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    for place in places {
        let name = match (place.source, &place.key) {
            (TokenPlace::Authorization, _) => "authorization",
            (TokenPlace::Header, Some(name)) => name,
            _ => continue,
        };
        if let Ok(name) = HeaderValue::from_str(name) {
            answer.append(ACCESS_CONTROL_ALLOW_HEADERS, name);
        }
    }
}

/// Where a token is looked for that renews an older one: in the policy's places, and where a page could fill none but the subprotocol, which
/// a request that is no WebSocket cannot have (the Fetch standard forbids pages its header), in `Authorization`.
#[must_use]
pub fn renewal_places(places: &[TokenSource]) -> Vec<TokenSource> {
    let has = |place| places.iter().any(|it| it.source == place);
    let mut all = places.to_vec();
    if has(TokenPlace::Subprotocol) && !has(TokenPlace::Authorization) {
        all.push(TokenSource {
            source: TokenPlace::Authorization,
            key: None,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(source: TokenPlace, key: Option<&str>) -> TokenSource {
        let key = key.map(str::to_owned);
        TokenSource { source, key }
    }

    #[test]
    fn a_page_reads_what_it_may_and_nobody_elses_cache_does() {
        let list = ["https://chat.example".to_owned()];
        for (origin, allowed, named, credentials) in [
            (None, Some(&list[..]), None, None),
            (
                Some("https://a"),
                Some(&list[..]),
                Some("https://a"),
                Some("true"),
            ),
            (Some("https://a"), None, Some("https://a"), None),
        ] {
            let (mut request, mut answer) = (HeaderMap::new(), HeaderMap::new());
            if let Some(origin) = origin {
                request.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            let_read(&mut answer, &request, allowed);
            let said = |name| answer.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(said(ACCESS_CONTROL_ALLOW_ORIGIN), named);
            assert_eq!(said(ACCESS_CONTROL_ALLOW_CREDENTIALS), credentials);
            assert_eq!(said(VARY), Some("Origin"));
        }
    }

    #[test]
    fn a_page_may_fill_the_headers_that_tokens_are_looked_for_in() {
        let mut answer = HeaderMap::new();
        let_post(
            &mut answer,
            &[
                place(TokenPlace::Cookie, Some("session")),
                place(TokenPlace::Header, Some("X-Token")),
                place(TokenPlace::Authorization, None),
            ],
        );
        let names = answer.get_all(ACCESS_CONTROL_ALLOW_HEADERS).iter();
        let names: Vec<_> = names.map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["X-Token", "authorization"]);
    }

    #[test]
    fn where_only_an_upgrade_could_carry_a_token_a_bearer_does() {
        use TokenPlace::{Authorization, Cookie, Subprotocol};
        for (places, all) in [
            (vec![Subprotocol], vec![Subprotocol, Authorization]),
            (vec![Cookie], vec![Cookie]),
            (
                vec![Authorization, Subprotocol],
                vec![Authorization, Subprotocol],
            ),
        ] {
            let places: Vec<_> = places.into_iter().map(|it| place(it, None)).collect();
            let found = renewal_places(&places);
            let found: Vec<_> = found.iter().map(|it| it.source).collect();
            assert_eq!(found, all);
        }
    }
}
