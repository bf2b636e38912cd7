//! Whether a policy's upstreams and key sets are ones that it may reach. Pure.
//!
//! Whoever may write a policy could otherwise point the sidecar at what only the node or the cluster itself should reach: a cloud's
//! metadata service, another container's loopback listener, the API server.

use std::net::IpAddr;

use bulkhead_crds::EffectivePolicy;

/// Host names under which the API server answers inside of a cluster, without the cluster's domain.
const API_SERVER: [&str; 3] = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// What the cluster adds to what is barred everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Barred {
    /// The addresses of the API server.
    pub api_server: Vec<IpAddr>,
    /// The cluster's domain, `cluster.local` as a rule.
    pub cluster_domain: String,
    /// What the platform team allows to every policy.
    pub allowed: Vec<String>,
}

/// Each field that names what is barred, with the way to allow it.
#[must_use]
pub fn barred(policy: &EffectivePolicy, barred: &Barred) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |path: String, host: &str| {
        if let Some(what) = barred.what(&policy.namespace, host)
            && !allowed(&policy.allowed_upstreams, host)
            && !allowed(&barred.allowed, host)
        {
            found.push(format!(
                "{path} is {host}, {what}: name it in spec.allowedUpstreams if that is meant"
            ));
        }
    };
    for database in &policy.databases {
        let upstream = &database.upstream;
        for host in upstream.hosts() {
            let path = format!(
                "spec.databases[{}].{}",
                database.name,
                upstream.host_field()
            );
            look(path, &host.host);
        }
    }
    let jwt = policy.identity.jwt.as_ref().map(|jwt| &jwt.jwks);
    let context = policy.identity.signed_context.as_ref();
    let context = context.and_then(|context| context.jwks.as_ref());
    for (field, jwks) in [("jwt", jwt), ("signedContext", context)] {
        if let Some(uri) = jwks.and_then(|jwks| jwks.uri.as_deref()) {
            look(format!("spec.identity.{field}.jwks.uri"), host_of(uri));
        }
    }
    found
}

impl Barred {
    fn what(&self, namespace: &str, host: &str) -> Option<&'static str> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.what_address(address);
        }
        if host == "localhost" || host.ends_with(".localhost") {
            return Some("a loopback address");
        }
        let short = host
            .strip_suffix(&self.cluster_domain)
            .and_then(|host| host.strip_suffix('.'))
            .unwrap_or(&host);
        // The bare name is the API server's only where it stands in the search path's first domain.
        let is_server =
            API_SERVER.contains(&short) && (short.contains('.') || namespace == "default");
        is_server.then_some("the API server")
    }

    fn what_address(&self, address: IpAddr) -> Option<&'static str> {
        let address = address.to_canonical();
        let link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if address.is_loopback() {
            Some("a loopback address")
        } else if address.is_unspecified() {
            Some("the unspecified address")
        } else if link_local {
            Some("a link-local address")
        } else if self.api_server.contains(&address) {
            Some("the API server")
        } else {
            None
        }
    }
}

/// Whether an entry names the host: the very name, a `*.` suffix, the address, or a network that holds it.
fn allowed(entries: &[String], host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let address = host.parse::<IpAddr>().ok();
    entries.iter().any(|entry| {
        if entry.eq_ignore_ascii_case(host) {
            return true;
        }
        if let Some(suffix) = entry.strip_prefix('*') {
            return suffix.starts_with('.')
                && host
                    .to_ascii_lowercase()
                    .ends_with(&suffix.to_ascii_lowercase());
        }
        address.is_some_and(|address| in_network(entry, address))
    })
}

/// Whether `10.0.0.0/8` or `fd00::/8` holds an address. What is no network holds none.
fn in_network(network: &str, address: IpAddr) -> bool {
    let Some((base, bits)) = network.split_once('/') else {
        return network.parse::<IpAddr>() == Ok(address);
    };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(base), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

/// The host of `https://user@host:port/path`.
fn host_of(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or(bracketed);
    }
    host.split(':').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Barred {
        Barred {
            api_server: vec!["10.96.0.1".parse().unwrap()],
            cluster_domain: "cluster.local".to_owned(),
            allowed: Vec::new(),
        }
    }

    #[test]
    fn what_only_the_node_or_the_cluster_should_reach_is_barred() {
        let table = [
            ("db.internal", None),
            ("10.0.0.5", None),
            ("127.0.0.1", Some("a loopback address")),
            ("::1", Some("a loopback address")),
            ("::ffff:127.0.0.1", Some("a loopback address")),
            ("localhost", Some("a loopback address")),
            ("LOCALHOST.", Some("a loopback address")),
            ("0.0.0.0", Some("the unspecified address")),
            ("169.254.169.254", Some("a link-local address")),
            ("fe80::1", Some("a link-local address")),
            ("10.96.0.1", Some("the API server")),
            ("kubernetes.default.svc", Some("the API server")),
            (
                "kubernetes.default.svc.cluster.local",
                Some("the API server"),
            ),
            ("kubernetes", None),
        ];
        for (host, expected) in table {
            assert_eq!(cluster().what("chat", host), expected, "{host}");
        }
        assert_eq!(
            cluster().what("default", "kubernetes"),
            Some("the API server")
        );
    }

    #[test]
    fn an_entry_allows_a_name_a_suffix_an_address_or_a_network() {
        let entries = [
            "proxy.local",
            "*.sidecars.local",
            "127.0.0.9",
            "169.254.0.0/16",
            "fd00::/8",
        ];
        let entries = entries.map(str::to_owned);
        for host in [
            "proxy.local",
            "PROXY.local",
            "a.sidecars.local",
            "127.0.0.9",
            "169.254.1.1",
            "fd12::1",
        ] {
            assert!(allowed(&entries, host), "{host}");
        }
        for host in ["sidecars.local", "127.0.0.1", "170.0.0.1", "fe80::1"] {
            assert!(!allowed(&entries, host), "{host}");
        }
        assert!(in_network("0.0.0.0/0", "1.2.3.4".parse().unwrap()));
        assert!(!in_network("1.2.3.4/33", "1.2.3.4".parse().unwrap()));
    }

    #[test]
    fn the_host_is_found_in_an_address() {
        for (uri, host) in [
            ("https://id.example/keys", "id.example"),
            ("http://127.0.0.1:80/k", "127.0.0.1"),
            ("https://u:p@[::1]:8443?x", "::1"),
        ] {
            assert_eq!(host_of(uri), host);
        }
    }
}
