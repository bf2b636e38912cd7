//! Host aliases: the names by which the application knows its databases, led to the sidecar's addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::template::HostAlias;

use super::{Rendering, namespace};

/// The longest name that DNS and Kubernetes know.
const LONGEST: usize = 253;

/// The aliases, one for each address. A name goes to the first database that has it: two addresses for one name would each get a part of
/// the connections of both.
pub(super) fn of(rendering: &Rendering<'_>) -> Vec<HostAlias> {
    let mut known = BTreeSet::new();
    let mut names: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
    for database in rendering.served() {
        let Some(address) = address(database.listen.address) else {
            continue;
        };
        if told_by_env(rendering, database, address) {
            continue;
        }
        let domain = &rendering.sidecar.cluster_domain;
        let spelled = database
            .upstream
            .hosts()
            .flat_map(|it| spellings(&it.host, namespace(rendering), domain));
        let new = spelled.filter(|name| known.insert(name.clone()));
        names.entry(address).or_default().extend(new);
    }
    names
        .into_iter()
        .filter(|(_, hostnames)| !hostnames.is_empty())
        .map(|(ip, hostnames)| HostAlias {
            ip: ip.to_string(),
            hostnames,
        })
        .collect()
}

/// Where a container of the pod reaches the listener; none for an address that only the pod's network knows.
fn address(listen: IpAddr) -> Option<IpAddr> {
    match listen {
        IpAddr::V4(address) if address.is_unspecified() => Some(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(address) if address.is_unspecified() => Some(Ipv6Addr::LOCALHOST.into()),
        address => address.is_loopback().then_some(address),
    }
}

/// Whether a variable of the policy leads the application to this very listener already. An address that several listeners share says
/// nothing of one of them unless the port stands with it.
fn told_by_env(rendering: &Rendering<'_>, database: &EffectiveDatabase, address: IpAddr) -> bool {
    let alone = rendering
        .served()
        .filter(|other| self::address(other.listen.address) == Some(address))
        .count()
        == 1;
    let with_port = std::net::SocketAddr::new(address, database.listen.port).to_string();
    let says = |value: &str| {
        let socket = database.listen.socket.as_deref();
        socket.is_some_and(|folder| value.contains(folder))
            || value.contains(&with_port)
            || alone && names(value, &address.to_string())
    };
    rendering.effective.inject_env.values().any(|it| says(it))
}

/// Whether a text has an address in it, rather than a longer one that begins or ends like it.
fn names(text: &str, address: &str) -> bool {
    let part = |character: char| character.is_ascii_alphanumeric() || character == '.';
    text.match_indices(address)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + address.len()..].starts_with(part))
}

/// Every name by which a pod of this namespace may know a host. A host of one or two labels is a Service's short name wherever the cluster
/// has such a Service, and the long names lead nowhere where it has not.
pub(super) fn spellings(host: &str, namespace: &str, domain: &str) -> Vec<String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.starts_with('/') || host.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    let domain = domain.trim_matches('.').to_ascii_lowercase();
    let long = host.strip_suffix(&format!(".{domain}")).unwrap_or(&host);
    let labels: Vec<&str> = long.split('.').collect();
    let service = match labels[..] {
        [name] if long == host => Some((name, namespace)),
        [name, of] if long == host => Some((name, of)),
        [name, of, "svc"] => Some((name, of)),
        _ => None,
    };
    let mut names = vec![host.clone()];
    if let Some((name, of)) = service {
        names = Vec::new();
        if of == namespace {
            names.push(name.to_owned());
        }
        names.push(format!("{name}.{of}"));
        names.push(format!("{name}.{of}.svc"));
        names.push(format!("{name}.{of}.svc.{domain}"));
    }
    names.retain(|name| is_host_name(name));
    names
}

/// What Kubernetes takes as a name of a host alias (RFC 1123).
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= LONGEST && name.split('.').all(is_label)
}
