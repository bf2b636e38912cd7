//! Which pages may open a socket: browsers send the Origin of the page, and nobody else has to (RFC 6455, section 10.2).

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

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

/// Whether an origin names the host that was asked.
fn is_own(headers: &HeaderMap, origin: &[u8]) -> bool {
    let Some(host) = headers.get(HOST) else {
        return false;
    };
    [&b"http://"[..], b"https://"]
        .iter()
        .filter_map(|scheme| origin.strip_prefix(*scheme))
        .any(|named| named.eq_ignore_ascii_case(host.as_bytes()))
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
        assert!(admitted("http://chat.example:8080", None, true));
        assert!(admitted("https://chat.example:8080", None, true));
        for other in [
            "https://chat.example",
            "https://evil",
            "null",
            "https://chat.example:8080.evil",
        ] {
            assert!(!admitted(other, None, true), "{other}");
            assert!(
                admitted(other, None, false),
                "a token that no browser adds by itself"
            );
        }
    }
}
