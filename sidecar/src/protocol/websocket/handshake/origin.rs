//! Which pages may open a socket: browsers send the Origin of the page, and nobody else has to (RFC 6455, section 10.2).

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

/// Whether the request's origin may open a socket. `from_cookie` says that its token was in a cookie, which a browser sends along whoever
/// asks: without a list only the site's own pages may then.
#[must_use]
pub fn admits_origin(headers: &HeaderMap, allowed: Option<&[String]>, from_cookie: bool) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        // Not a browser.
        return true;
    };
    match allowed {
        Some(allowed) => allowed.iter().any(|it| it == "*" || origin == it.as_str()),
        None if from_cookie => is_own(headers, origin.as_bytes()),
        None => true,
    }
}

/// Whether a browser asks for a page of an origin that the policy names whether the page may send a request (a CORS preflight): it never
/// shows then who is asking.
#[must_use]
pub fn is_named_preflight(request: &Parts, allowed: Option<&[String]>) -> bool {
    let headers = &request.headers;
    request.method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && allowed.is_some()
        && admits_origin(headers, allowed, false)
}

/// Whether an origin names the host that was asked.
fn is_own(headers: &HeaderMap, origin: &[u8]) -> bool {
    let Some(host) = headers.get(HOST) else {
        return false;
    };
    // Browsers leave the scheme's own port out of the origin (RFC 6454, section 6.1); a proxy in between may have written it.
    [(&b"http://"[..], &b":80"[..]), (b"https://", b":443")]
        .iter()
        .filter_map(|(scheme, port)| Some((origin.strip_prefix(*scheme)?, port)))
        .any(|(named, port)| {
            let host = host.as_bytes();
            let host = host.strip_suffix(*port).unwrap_or(host);
            !named.is_empty() && named.eq_ignore_ascii_case(host)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(origin: &str, allowed: Option<&[&str]>, from_cookie: bool) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "Chat.example:8080".parse().unwrap());
        if !origin.is_empty() {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let allowed: Option<Vec<String>> =
            allowed.map(|list| list.iter().map(|it| (*it).to_owned()).collect());
        admits_origin(&headers, allowed.as_deref(), from_cookie)
    }

    #[test]
    fn a_list_names_origins_as_browsers_write_them() {
        let list = Some(&["https://chat.example"][..]);
        assert!(admitted("https://chat.example", list, false));
        assert!(!admitted("http://chat.example", list, false));
        assert!(!admitted("https://chat.example.evil", list, false));
        assert!(!admitted("null", list, false));
        assert!(admitted("https://other", Some(&["*"]), true));
        assert!(admitted("", list, true), "no browser");
    }

    #[test]
    fn a_cookie_without_a_list_is_for_the_sites_own_pages() {
        let rows = [
            ("chat.example", "https://chat.example", true),
            ("chat.example", "http://chat.example", true),
            ("Chat.Example", "https://chat.example", true),
            ("chat.example:8080", "http://chat.example:8080", true),
            ("chat.example:443", "https://chat.example", true),
            ("chat.example:80", "http://chat.example", true),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("chat.example:8080", "https://chat.example", false),
            ("chat.example", "https://chat.example:8080", false),
            ("chat.example:443", "http://chat.example", false),
            ("chat.example:80", "https://chat.example", false),
            ("chat.example", "https://evil", false),
            ("chat.example", "https://chat.example.evil", false),
            ("chat.example", "https://evil.chat.example", false),
            ("chat.example", "null", false),
            ("chat.example", "chat.example", false),
            ("chat.example", "ftp://chat.example", false),
            ("chat.example", "https://", false),
            ("", "https://", false),
            (":443", "https://", false),
        ];
        for (host, origin, own) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            headers.insert(ORIGIN, origin.parse().unwrap());
            assert_eq!(admits_origin(&headers, None, true), own, "{host} {origin}");
            assert!(
                admits_origin(&headers, None, false),
                "a token that no browser adds by itself"
            );
            assert!(!admits_origin(&headers, Some(&[]), false), "nobody's");
            headers.remove(HOST);
            assert!(!admits_origin(&headers, None, true));
        }
    }

    #[test]
    fn a_preflight_is_one_of_a_page_that_the_policy_names() {
        let asked = |change: &dyn Fn(&mut Parts), allowed: Option<&[String]>| {
            let request = http::Request::options("/api")
                .header(ORIGIN, "https://chat.example")
                .header(ACCESS_CONTROL_REQUEST_METHOD, "PUT");
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            change(&mut parts);
            is_named_preflight(&parts, allowed)
        };
        let named = ["https://chat.example".to_owned()];
        assert!(asked(&|_| {}, Some(&named)));
        assert!(asked(&|_| {}, Some(&["*".to_owned()])));
        assert!(!asked(&|_| {}, Some(&["https://other".to_owned()])));
        assert!(!asked(&|_| {}, None));
        assert!(!asked(&|it| it.method = Method::GET, Some(&named)));
        assert!(!asked(&|it| drop(it.headers.remove(ORIGIN)), Some(&named)));
        let simple = |it: &mut Parts| drop(it.headers.remove(ACCESS_CONTROL_REQUEST_METHOD));
        assert!(!asked(&simple, Some(&named)));
    }
}
