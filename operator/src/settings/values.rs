//! Values of flags, read from their texts.

use std::net::SocketAddr;
use std::time::Duration;

use bulkhead_crds::names;

/// A number, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(pub(super) Option<i64>);

pub(super) fn id(text: &str) -> Result<Id, String> {
    if text.is_empty() || text == "unset" {
        return Ok(Id(None));
    }
    let number = text.parse::<i64>().ok().filter(|number| *number > 0);
    number
        .map(|number| Id(Some(number)))
        .ok_or_else(|| "write a number above 0, or `unset`".to_owned())
}

/// `:PORT` is every address, of both families where the host has both.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let whole = match text.strip_prefix(':') {
        Some(port) => format!("[::]:{port}"),
        None => text.to_owned(),
    };
    whole
        .parse()
        .map_err(|_| "write ADDRESS:PORT or :PORT".to_owned())
}

/// A span as policies write it: `30s`, `2160h`.
pub(super) fn span(text: &str) -> Result<Duration, <names::Duration as std::str::FromStr>::Err> {
    text.parse().map(names::Duration::get)
}

/// The name of a cluster, or nothing. A DNS label (RFC 1123), so that it holds no `/`, which parts it from the namespace in an issuer.
pub(super) fn cluster_name(text: &str) -> Result<String, &'static str> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = text.len() <= 63
        && text.chars().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_label {
        return Ok(text.to_owned());
    }
    Err(
        "write lower-case letters, digits and hyphens, 63 at the most, with a letter or a digit at both ends",
    )
}

/// An environment variable that is set to nothing is a list of nothing.
pub(super) fn filled(mut list: Vec<String>) -> Vec<String> {
    list.retain(|name| !name.is_empty());
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_s_name_is_a_label_or_nothing() {
        for name in ["", "eu-1", "7", "a"] {
            assert_eq!(cluster_name(name).as_deref(), Ok(name));
        }
        for name in ["EU", "a/b", "a.b", "-a", "a-", "a b", &"a".repeat(64)] {
            assert!(cluster_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_address_may_be_a_port_alone() {
        assert_eq!(address(":9443").unwrap().to_string(), "[::]:9443");
        assert_eq!(address("127.0.0.1:1").unwrap().to_string(), "127.0.0.1:1");
        assert!(address("9443").is_err());
    }
}
