//! Which addresses may be fetched from.

use std::net::IpAddr;

use hyper::Uri;

/// HTTPS to anywhere; plain HTTP to this machine alone, where nobody stands between.
pub(super) fn allowed(text: &str) -> Result<Uri, String> {
    let uri: Uri = text
        .parse()
        .map_err(|error| format!("it is not a URI: {error}"))?;
    let Some(host) = uri.host() else {
        return Err("it names no host".into());
    };
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err("it has a user name or password; a policy is no place for them".into());
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        Some("http") => Err("plain http is for loopback addresses only: use https".into()),
        _ => Err("it does not start with https://".into()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for good in [
            "https://id.example.com/jwks.json",
            "http://127.0.0.1:8080/k",
            "http://[::1]/k",
            "http://LOCALHOST/k",
            "http://127.1.2.3/",
        ] {
            assert!(allowed(good).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example.com/k",
            "http://10.0.0.1/k",
            "http://localhost.example.com/k",
            "http://127.0.0.1.example.com/",
            "http://0.0.0.0/",
            "ftp://127.0.0.1/",
            "/etc/passwd",
            "file:///etc/passwd",
            "",
            "id.example.com",
            "https://user:password@id.example.com/",
            "http://127.0.0.1@id.example.com/",
        ] {
            assert!(allowed(bad).is_err(), "{bad}");
        }
    }
}
