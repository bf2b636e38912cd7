//! Rules about which requests become WebSockets: pages' origins, and paths.

use super::rule::{Complaint, Complaints, complain, per_web_socket, web_socket};
use crate::effective::{EffectivePolicy, EffectiveWebSocket};

/// An origin is compared byte by byte with what a browser sends, so an entry that no browser sends admits nobody.
pub(super) fn origin(policy: &EffectivePolicy) -> Complaints {
    per_origin(policy, |_, origin| origin_fault(origin))
}

fn origin_fault(text: &str) -> Option<String> {
    if text == "*" {
        return None;
    }
    let fault = if text == "null" {
        "is what browsers send for pages without an origin, such as sandboxed frames, and anybody can make one: name the pages' own origins".to_owned()
    } else if text.contains('*') {
        "is compared as it is written, and `*` stands for every origin only where it stands alone: name each origin".to_owned()
    } else {
        match serialized(text) {
            Some(origin) if origin == text => return None,
            Some(origin) => format!("is not how a browser writes an origin: write `{origin}`"),
            None => "is no origin: write `SCHEME://HOST` or `SCHEME://HOST:PORT` as browsers do, such as `https://chat.example`".to_owned(),
        }
    };
    Some(format!("`{text}` {fault}"))
}

/// The origin of an address as a browser writes it (RFC 6454, section 6.1): scheme and host in lower case, no port that goes without
/// saying, and nothing behind. A WebSocket's scheme stands for the page's. None where the text has no host that a browser could mean.
fn serialized(text: &str) -> Option<String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("https".to_owned(), text),
    };
    let scheme = match scheme.as_str() {
        "ws" => "http",
        "wss" => "https",
        other => other,
    };
    let known = matches!(scheme, "http" | "https");
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = host_and_port(authority)?;
    if !is_scheme || !is_host(host) {
        return None;
    }
    // Schemes of browser extensions and of apps have hosts of their own kind.
    let host = if known {
        host.to_ascii_lowercase()
    } else {
        host.to_owned()
    };
    let port = match (scheme, port) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    Some(format!("{scheme}://{host}{port}"))
}

/// A host, an IPv6 address with its brackets, and what stands behind the colon.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some((host, None)),
        None => None,
        Some(port) => Some((host, Some(port.parse().ok()?))),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[') {
        let address = inside.strip_suffix(']').unwrap_or_default();
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
}

/// Entries that change nothing.
pub(super) fn origin_covered(policy: &EffectivePolicy) -> Complaints {
    per_origin(policy, |before, origin| {
        before
            .contains(&origin.to_owned())
            .then(|| format!("`{origin}` is in the list already: leave it out"))
    })
}

/// `*` beside others leaves nothing for them to say, and an empty list nobody.
pub(super) fn any_or_no_origin(policy: &EffectivePolicy) -> Complaints {
    per_web_socket(policy, |one| {
        let Some(origins) = &one.allowed_origins else {
            return Vec::new();
        };
        let message = if origins.is_empty() {
            "is empty, which refuses every page: name the application's pages, such as `https://chat.example`, or leave it out"
        } else if origins.len() > 1 && origins.iter().any(|origin| origin == "*") {
            "has `*`, which every page matches, so that the entries beside it say nothing: leave out the one or the others"
        } else {
            return Vec::new();
        };
        vec![complain(web_socket(&one.name, "allowedOrigins"), message)]
    })
}

fn per_origin(
    policy: &EffectivePolicy,
    check: impl Fn(&[String], &str) -> Option<String>,
) -> Complaints {
    per_web_socket(policy, |one| {
        let origins = one.allowed_origins.as_deref().unwrap_or_default();
        per_entry(one, "allowedOrigins", origins, &check)
    })
}

/// A path that no request has, or the beginning of none.
pub(super) fn path(policy: &EffectivePolicy) -> Complaints {
    let mut complaints = per_path(policy, |_, path| path_fault(path));
    complaints.extend(per_web_socket(policy, |one| {
        let fault = one.token_path.as_deref().and_then(path_fault);
        let complaint = |fault| complain(web_socket(&one.name, "tokenPath"), fault);
        fault.map(complaint).into_iter().collect()
    }));
    complaints
}

fn path_fault(path: &str) -> Option<String> {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let slash = if path.starts_with('/') { "" } else { "/" };
    let right = format!("{slash}{}", &path[..end]);
    let odd = |c: char| !c.is_ascii_graphic();
    let fault = if path.is_empty() {
        return None;
    } else if path.contains("://") {
        "is an address, and paths are compared alone: write what stands behind the host, beginning with `/`".to_owned()
    } else if end < path.len() {
        format!("has a query or a fragment, and paths are compared without: write `{right}`")
    } else if path.contains(odd) {
        "has characters that stand percent-encoded in a request: write it as the request does (`%20` for a blank)".to_owned()
    } else if !slash.is_empty() {
        format!("does not begin with `/`, as every path does: write `{right}`")
    } else {
        return None;
    };
    Some(format!("`{path}` {fault}"))
}

/// A prefix that another one has already.
pub(super) fn path_covered(policy: &EffectivePolicy) -> Complaints {
    per_web_socket(policy, |one| {
        let covered = |at: usize, path: &str| {
            let mut others = one.paths.iter().enumerate();
            // Of two that are the same, the second.
            let (_, shorter) = others.find(|(other, shorter)| {
                path.starts_with(shorter.as_str()) && (*other < at || path != shorter.as_str())
            })?;
            if path == shorter {
                return Some(format!("`{path}` is in the list already: leave it out"));
            }
            Some(format!(
                "`{path}` begins with `{shorter}`, which is in the list and admits it already: leave out one of the two"
            ))
        };
        let paths = one.paths.iter().enumerate();
        paths
            .filter_map(|(at, path)| Some(entry(one, "paths", at, covered(at, path)?)))
            .collect()
    })
}

/// What other software would take for a pattern.
pub(super) fn path_pattern(policy: &EffectivePolicy) -> Complaints {
    per_path(policy, |_, path| {
        let at = path.find(['*', '{', '^'])?;
        let prefix = &path[..at];
        Some(format!(
            "`{path}` looks like a pattern, and is compared as it is written: write the beginning that all of them have, such as `{}`",
            if prefix.is_empty() { "/" } else { prefix }
        ))
    })
}

fn per_path(
    policy: &EffectivePolicy,
    check: impl Fn(&[String], &str) -> Option<String>,
) -> Complaints {
    per_web_socket(policy, |one| per_entry(one, "paths", &one.paths, &check))
}

/// What `check` has to say of each entry of a list, and of those before it.
fn per_entry(
    one: &EffectiveWebSocket,
    list: &str,
    entries: &[String],
    check: &impl Fn(&[String], &str) -> Option<String>,
) -> Complaints {
    let complaint =
        |(at, text): (usize, &String)| Some(entry(one, list, at, check(&entries[..at], text)?));
    entries.iter().enumerate().filter_map(complaint).collect()
}

fn entry(one: &EffectiveWebSocket, list: &str, at: usize, message: String) -> Complaint {
    complain(web_socket(&one.name, &format!("{list}[{at}]")), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_writes() {
        for origin in [
            "*",
            "https://chat.example",
            "http://localhost:3000",
            "https://chat.example:8443",
            "http://[::1]:3000",
            "https://127.0.0.1",
            "chrome-extension://abcdefghijklmnop",
            "safari-web-extension://E7B3A1C0-0000",
            "capacitor://localhost",
        ] {
            assert_eq!(origin_fault(origin), None, "{origin}");
        }
    }

    #[test]
    fn what_is_meant_is_told() {
        for (text, meant) in [
            ("chat.example", "https://chat.example"),
            ("chat.example:8443", "https://chat.example:8443"),
            ("https://chat.example/", "https://chat.example"),
            ("https://chat.example/app?x#y", "https://chat.example"),
            ("https://Chat.Example", "https://chat.example"),
            ("HTTPS://chat.example", "https://chat.example"),
            ("https://chat.example:443", "https://chat.example"),
            ("http://chat.example:80/", "http://chat.example"),
            ("http://chat.example:080", "http://chat.example"),
            ("wss://chat.example/ws", "https://chat.example"),
            ("ws://localhost:8080", "http://localhost:8080"),
        ] {
            let fault = origin_fault(text).expect(text);
            assert!(fault.ends_with(&format!("write `{meant}`")), "{fault}");
        }
        for text in [
            "",
            "https://",
            "://chat.example",
            "https://user@chat.example",
            "https://chat.example:port",
            "https://chat.example:65536",
            "https://[::1",
            "https://[chat]",
            "https://bücher.example",
            "https://chat example",
        ] {
            assert!(
                origin_fault(text).expect(text).contains("is no origin"),
                "{text}"
            );
        }
        for text in ["null", "https://*.example", "*.example", "**"] {
            let fault = origin_fault(text).expect(text);
            assert!(fault.contains("name "), "{fault}");
        }
    }
}
