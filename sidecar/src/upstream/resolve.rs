//! From a host name to addresses, by DNS alone.
//!
//! The hosts file is left out on purpose: injection puts an alias there that leads from the upstream's name to the sidecar
//! itself. Addresses written as such, those given on the command line, and `localhost` (RFC 6761, section 6.3) need no DNS. May not live here: which address
//! is tried when.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// A positive answer is used no longer than this, whatever its TTL says: a failed-over database should be found.
const MAX_POSITIVE_TTL: Duration = Duration::from_secs(60);

/// A name that has just been created should be found soon, whatever the zone's SOA says.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(2);

/// Addresses of one answer that are used; more would not be tried within any sensible timeout.
const MAX_ADDRESSES: usize = 16;

/// Looks host names up; cheap to clone, with one cache for all clones.
///
/// The system's settings are read once. A missing or unusable `/etc/resolv.conf` is told at the first look-up that needs it,
/// so that a policy of plain addresses works without.
#[derive(Clone, Debug)]
pub struct Resolver {
    dns: Arc<Result<TokioResolver, String>>,
    pins: Arc<HashMap<String, Vec<IpAddr>>>,
}

/// An address that a host has whatever DNS says: `HOST=ADDRESS`. What a pod's own aliases said of an upstream before
/// injection put its own there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    host: String,
    address: IpAddr,
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "write a host name and an IP address, such as db.internal=10.0.0.1".to_owned();
        let (host, address) = text.split_once('=').ok_or_else(wrong)?;
        let address = literal(address).ok_or_else(wrong)?;
        if host.is_empty() || literal(host).is_some() {
            return Err(wrong());
        }
        Ok(Self {
            host: plain(host),
            address,
        })
    }
}

impl Resolver {
    /// Name servers, search list and options of `/etc/resolv.conf`.
    #[must_use]
    pub fn system() -> Self {
        let settings = hickory_resolver::system_conf::read_system_conf();
        Self::build(settings.map_err(|e| format!("/etc/resolv.conf cannot be used: {e}")))
    }

    /// Name servers of one's own choice, with default options.
    #[must_use]
    pub fn with_config(config: ResolverConfig) -> Self {
        Self::build(Ok((config, ResolverOpts::default())))
    }

    /// These name servers, asked over UDP, and over TCP where an answer is too long for that; the system's settings where there
    /// are none. Names are looked up as they are, without a search list.
    #[must_use]
    pub fn asking(servers: &[SocketAddr]) -> Self {
        if servers.is_empty() {
            return Self::system();
        }
        let server = |address: &SocketAddr| {
            let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
                way.port = address.port();
                way
            });
            NameServerConfig::new(address.ip(), true, ways.into())
        };
        let servers = servers.iter().map(server).collect();
        Self::with_config(ResolverConfig::from_parts(None, Vec::new(), servers))
    }

    /// The same look-ups, but for these hosts, whose addresses are given.
    #[must_use]
    pub fn with_pins(self, pins: &[Pin]) -> Self {
        let mut by_host: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for pin in pins {
            let addresses = by_host.entry(pin.host.clone()).or_default();
            if !addresses.contains(&pin.address) {
                addresses.push(pin.address);
            }
        }
        Self {
            pins: Arc::new(by_host),
            ..self
        }
    }

    fn build(settings: Result<(ResolverConfig, ResolverOpts), String>) -> Self {
        let dns = settings.and_then(|(config, options)| {
            let mut builder =
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                    .with_options(options);
            let options = builder.options_mut();
            options.use_hosts_file = ResolveHosts::Never;
            options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
            options.positive_max_ttl = Some(MAX_POSITIVE_TTL);
            options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
            builder.build().map_err(|e| e.to_string())
        });
        Self {
            dns: Arc::new(dns),
            pins: Arc::default(),
        }
    }

    /// The addresses of `host`, at most 16, the two families taking turns (RFC 8305, section 4).
    ///
    /// Cancel-safe: an answer that arrives later may still fill the cache.
    ///
    /// # Errors
    /// A sentence for people: what DNS said.
    pub async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        if let Some(address) = literal(host) {
            return Ok(vec![address]);
        }
        if let Some(addresses) = self.pinned(host) {
            return Ok(interleave(addresses.iter().copied()));
        }
        if is_localhost(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let (addresses, _) = self.ask(host).await?;
        Ok(interleave(addresses.into_iter()))
    }

    /// Every address that DNS gives for `host`, and until when that holds.
    ///
    /// # Errors
    /// As [`Resolver::lookup`].
    pub(super) async fn ask(&self, host: &str) -> Result<(Vec<IpAddr>, Instant), String> {
        let dns = self.dns.as_ref().as_ref().map_err(Clone::clone)?;
        let answer = dns.lookup_ip(host).await.map_err(|e| describe(&e))?;
        let until = answer.valid_until();
        let addresses: Vec<IpAddr> = answer.into_iter().collect();
        if addresses.is_empty() {
            return Err("the name exists and has no address".to_owned());
        }
        Ok((addresses, until))
    }

    /// Whether it is DNS that says what the addresses of `host` are.
    pub(super) fn asks_for(&self, host: &str) -> bool {
        let known = literal(host).is_some() || is_localhost(host) || host.starts_with('/');
        !known && self.pinned(host).is_none()
    }

    fn pinned(&self, host: &str) -> Option<&Vec<IpAddr>> {
        // Nearly always nothing is pinned, and then no name need be spelled out.
        if self.pins.is_empty() {
            return None;
        }
        self.pins.get(&plain(host))
    }

    /// Forgets what is known of `host`, after none of its addresses answered.
    pub fn forget(&self, host: &str) {
        if let Ok(dns) = self.dns.as_ref() {
            use hickory_resolver::proto::rr::RecordType;
            dns.clear_lookup_cache(host, RecordType::A);
            dns.clear_lookup_cache(host, RecordType::AAAA);
        }
    }
}

/// An address written as such, in brackets or not.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

/// A host name as names are compared: without case, and without the root's dot.
fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    last.eq_ignore_ascii_case("localhost")
}

fn interleave(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.take(4 * MAX_ADDRESSES).partition(IpAddr::is_ipv6);
    let mut mixed = Vec::with_capacity(v6.len() + v4.len());
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        let pair = [v6.next(), v4.next()];
        if pair.iter().all(Option::is_none) {
            break;
        }
        mixed.extend(pair.into_iter().flatten());
    }
    mixed.truncate(MAX_ADDRESSES);
    mixed
}

fn describe(error: &NetError) -> String {
    if error.is_nx_domain() {
        return "DNS knows no such name (the hosts file is not read, on purpose)".to_owned();
    }
    if error.is_no_records_found() {
        return "DNS has no address for it".to_owned();
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_and_localhost_need_no_dns() {
        let resolver = Resolver::build(Err("there is no resolv.conf".to_owned()));
        for (host, first, count) in [
            ("10.1.2.3", "10.1.2.3", 1),
            ("::1", "::1", 1),
            ("[fe80::1]", "fe80::1", 1),
            ("localhost", "127.0.0.1", 2),
            ("LOCALHOST.", "127.0.0.1", 2),
            ("db.localhost", "127.0.0.1", 2),
        ] {
            let found = resolver.lookup(host).await.unwrap();
            assert_eq!(found[0], first.parse::<IpAddr>().unwrap(), "{host}");
            assert_eq!(found.len(), count, "{host}");
        }
        let told = resolver.lookup("db.internal").await.unwrap_err();
        assert!(told.contains("resolv.conf"), "{told}");
    }

    #[tokio::test]
    async fn a_pinned_host_needs_no_dns_and_has_each_of_its_addresses() {
        let pins: Vec<Pin> = [
            "DB.internal.=10.0.0.1",
            "db.internal=10.0.0.2",
            "db.internal=[::1]",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let resolver = Resolver::build(Err("there is no resolv.conf".to_owned())).with_pins(&pins);
        for host in ["db.internal", "Db.Internal."] {
            let found = resolver.lookup(host).await.unwrap();
            let wanted: Vec<IpAddr> = ["::1", "10.0.0.1", "10.0.0.2"]
                .map(|text| text.parse().unwrap())
                .into();
            assert_eq!(found, wanted, "{host}");
        }
        assert!(resolver.lookup("other.internal").await.is_err());
    }

    #[test]
    fn what_is_no_host_and_address_is_no_pin() {
        for wrong in ["db", "db=", "=1.2.3.4", "db=other", "10.0.0.1=10.0.0.2"] {
            assert!(wrong.parse::<Pin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_two_families_take_turns_and_are_capped() {
        let v4 = |n| IpAddr::from([10, 0, 0, n]);
        let v6 = |n| IpAddr::from([0, 0, 0, 0, 0, 0, 0, n]);
        let found = interleave([v4(1), v4(2), v4(3), v6(1)].into_iter());
        assert_eq!(found, [v6(1), v4(1), v4(2), v4(3)]);
        assert_eq!(interleave((0..200).map(v4)).len(), MAX_ADDRESSES);
    }
}
