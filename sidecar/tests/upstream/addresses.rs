//! Names, several addresses, and which of them is used.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_sidecar::upstream::{ConnectError, Stage};

use crate::support::Entry;
use crate::support::dns::Dns;
use crate::support::fake::{Do, Fake, auth_ok, message, ready};

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

fn named(dns: &Dns, port: u16) -> Entry {
    let mut entry = Entry::new("db.test.", port);
    entry.resolver = dns.resolver();
    entry
}

async fn healthy() -> Fake {
    let up = [auth_ok(), ready()].concat();
    let script = vec![Do::ReadStartup, Do::Write(up), Do::Hang];
    Fake::start_at(SocketAddr::new(SECOND.into(), 0), script).await
}

#[tokio::test]
async fn an_address_that_refuses_hangs_up_or_still_starts_is_passed_over() {
    let dns = Dns::start(vec![FIRST, SECOND], 60).await;
    let second = healthy().await;
    // Nothing listens on the first,
    named(&dns, second.port).connect("app").await.unwrap();
    // it hangs up at once or later, or is starting,
    let starting = message(b'E', b"SFATAL\0VFATAL\0C57P03\0Mstarting up\0\0");
    for script in [
        vec![],
        vec![Do::ReadStartup],
        vec![Do::ReadStartup, Do::Write(auth_ok())],
        vec![Do::ReadStartup, Do::Write(starting)],
    ] {
        let second = healthy().await;
        let at = SocketAddr::new(FIRST.into(), second.port);
        let _first = Fake::start_at(at, script).await;
        named(&dns, second.port).connect("app").await.unwrap();
    }
}

#[tokio::test]
async fn an_address_that_accepts_and_hangs_gets_its_share_of_the_time() {
    let dns = Dns::start(vec![FIRST, SECOND], 60).await;
    let second = healthy().await;
    let at = SocketAddr::new(FIRST.into(), second.port);
    let _first = Fake::start_at(at, vec![Do::Hang]).await;
    let entry = named(&dns, second.port).timeout(Duration::from_secs(2));
    entry.connect("app").await.unwrap();
}

#[tokio::test]
async fn an_answer_that_counts_for_all_is_not_asked_for_twice() {
    let dns = Dns::start(vec![FIRST, SECOND], 60).await;
    let second = healthy().await;
    let refused = message(b'E', b"SFATAL\0VFATAL\0C28P01\0Mwrong password\0\0");
    let at = SocketAddr::new(FIRST.into(), second.port);
    let _first = Fake::start_at(at, vec![Do::ReadStartup, Do::Write(refused)]).await;
    let (error, _) = named(&dns, second.port).refusal("app").await;
    assert!(matches!(error, ConnectError::Server { .. }));
}

#[tokio::test]
async fn when_no_address_accepts_each_is_told_with_its_reason() {
    let dns = Dns::start(vec![FIRST, SECOND], 60).await;
    let port = healthy().await.port;
    let (error, text) = named(&dns, port).refusal("app").await;
    let ConnectError::Unreachable { attempts, .. } = error else {
        panic!("{text}");
    };
    assert_eq!(attempts.len(), 2);
    assert!(
        text.contains("127.0.0.10") && text.contains("127.0.0.11"),
        "{text}"
    );
    assert!(
        text.contains("refused") && text.contains("databases[main].upstream.port"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_is_kept_as_long_as_it_says_or_until_none_of_it_answers() {
    let dns = Dns::start(vec![SECOND], 60).await;
    let second = healthy().await;
    let entry = named(&dns, second.port);
    for _ in 0..3 {
        entry.connect("app").await.unwrap();
    }
    assert_eq!(dns.asked.load(Ordering::SeqCst), 1, "from the cache");

    let port = second.port;
    drop(second);
    let mut gone = Entry::new("db.test.", port);
    gone.resolver = entry.resolver.clone();
    // The listener ends when its task does.
    while gone.connect("app").await.is_ok() {}
    let before = dns.asked.load(Ordering::SeqCst);
    let _ = gone.connect("app").await;
    assert!(dns.asked.load(Ordering::SeqCst) > before, "asked anew");

    let fleeting = Dns::start(vec![SECOND], 0).await;
    let second = healthy().await;
    let entry = named(&fleeting, second.port);
    for _ in 0..3 {
        entry.connect("app").await.unwrap();
    }
    assert_eq!(fleeting.asked.load(Ordering::SeqCst), 3, "a TTL of 0");
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_told_and_the_hosts_file_is_not_asked() {
    let dns = Dns::start(vec![], 0).await;
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let in_hosts_file = hosts
        .lines()
        .filter_map(|line| line.split('#').next()?.split_whitespace().nth(1))
        .find(|name| !name.contains("localhost"));
    for host in ["db.test."].into_iter().chain(in_hosts_file) {
        let mut entry = Entry::new(host, 5432);
        entry.resolver = dns.resolver();
        let (error, text) = entry.refusal("app").await;
        assert!(matches!(error, ConnectError::Resolve { .. }), "{text}");
        assert!(text.contains("databases[main].upstream.host"), "{text}");
    }
}

#[tokio::test]
async fn a_dns_server_that_never_answers_meets_the_deadline() {
    let silent = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let mut udp = hickory_resolver::config::ConnectionConfig::udp();
    udp.port = silent.local_addr().unwrap().port();
    let server = hickory_resolver::config::NameServerConfig::new(
        Ipv4Addr::LOCALHOST.into(),
        true,
        vec![udp],
    );
    let config = hickory_resolver::config::ResolverConfig::from_parts(None, vec![], vec![server]);
    let mut entry = Entry::new("db.test.", 5432).timeout(Duration::from_millis(300));
    entry.resolver = bulkhead_sidecar::upstream::Resolver::with_config(config);
    let (error, text) = entry.refusal("app").await;
    assert!(
        matches!(
            error,
            ConnectError::DeadlineExceeded {
                stage: Stage::Resolve,
                ..
            }
        ),
        "{text}"
    );
}
