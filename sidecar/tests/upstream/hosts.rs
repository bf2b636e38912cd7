//! Several hosts, and servers that say little of themselves.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bulkhead_crds::effective::EffectiveHost;
use bulkhead_crds::kinds::TargetSessionAttrs;
use bulkhead_sidecar::telemetry::RetirementReason;
use bulkhead_sidecar::upstream::ConnectError;

use crate::support::Entry;
use crate::support::dns::Dns;
use crate::support::fake::{Do, Fake, auth_ok, message, ready};

/// A server that says nothing of itself and answers one question with `answer`.
async fn asked(answer: &str) -> Fake {
    let length = i32::try_from(answer.len()).unwrap();
    let row = [&[0, 1][..], &length.to_be_bytes(), answer.as_bytes()].concat();
    let script = vec![
        Do::ReadStartup,
        Do::Write([auth_ok(), ready()].concat()),
        Do::ReadMessage,
        Do::Write(
            [
                message(b'T', b"\0\0"),
                message(b'D', &row),
                message(b'C', b"SHOW\0"),
                ready(),
            ]
            .concat(),
        ),
        Do::Hang,
    ];
    Fake::start(script).await
}

/// A server that reports what PostgreSQL 14 and later do.
async fn reporting(standby: &str) -> Fake {
    let status = |name: &str, value: &str| message(b'S', format!("{name}\0{value}\0").as_bytes());
    let greeting = [
        auth_ok(),
        status("in_hot_standby", standby),
        status("default_transaction_read_only", "off"),
        ready(),
    ];
    let script = vec![Do::ReadStartup, Do::Write(greeting.concat()), Do::Hang];
    Fake::start(script).await
}

fn refusing(code: &str) -> Vec<Do> {
    let fields = format!("SFATAL\0VFATAL\0C{code}\0Mno\0\0");
    vec![Do::ReadStartup, Do::Write(message(b'E', fields.as_bytes()))]
}

fn entry(ports: &[u16], wanted: TargetSessionAttrs) -> Entry {
    let mut entry = Entry::new("127.0.0.1", ports[0]);
    let others = ports[1..].iter().map(|port| EffectiveHost {
        host: "127.0.0.1".to_owned(),
        port: *port,
    });
    entry.database.upstream.other_hosts = others.collect();
    entry.database.upstream.target_session_attrs = wanted;
    entry
}

#[tokio::test]
async fn a_server_that_does_not_say_what_it_is_is_asked() {
    use TargetSessionAttrs as T;
    for (wanted, answer, will_do) in [
        (T::ReadWrite, "off", true),
        (T::ReadWrite, "on", false),
        (T::ReadOnly, "on", true),
        (T::Primary, "f", true),
        (T::Primary, "t", false),
        (T::Standby, "t", true),
        (T::Standby, "", false),
    ] {
        let server = asked(answer).await;
        let mut entry = entry(&[server.port], wanted);
        entry.timeout = Duration::from_millis(300);
        match entry.connect("app").await {
            Ok(established) => {
                assert!(will_do, "{wanted} {answer}");
                assert!(established.leftover.is_empty());
            }
            Err(error) => {
                assert!(!will_do, "{wanted} {answer}: {error}");
                assert!(matches!(error, ConnectError::NoHost { .. }), "{error}");
            }
        }
    }
    // Where any will do, nobody is asked.
    let server = asked("on").await;
    entry(&[server.port], T::Any).connect("app").await.unwrap();
}

#[tokio::test]
async fn an_answer_that_counts_for_all_hosts_is_not_asked_for_twice() {
    let first = Fake::start(refusing("28P01")).await;
    let second = reporting("off").await;
    let entry = entry(&[first.port, second.port], TargetSessionAttrs::Any);
    let (error, _) = entry.refusal("app").await;
    assert!(matches!(error, ConnectError::Server { .. }), "{error}");
}

#[tokio::test]
async fn a_list_is_tried_again_while_a_server_of_it_is_starting() {
    let starting = Fake::start(refusing("57P03")).await;
    let mut entry = entry(&[starting.port, 1], TargetSessionAttrs::Any);
    entry.timeout = Duration::from_millis(400);
    let began = Instant::now();
    let (error, text) = entry.refusal("app").await;
    assert!(matches!(error, ConnectError::NoHost { .. }), "{text}");
    assert!(
        text.contains("57P03") && text.contains("127.0.0.1:1: "),
        "{text}"
    );
    assert!(
        began.elapsed() > Duration::from_millis(150),
        "it was tried again"
    );
    // Where nothing answers at all, nobody waits.
    let began = Instant::now();
    let mut entry = self::entry(&[1, 2], TargetSessionAttrs::ReadWrite);
    entry.timeout = Duration::from_secs(20);
    let (error, text) = entry.refusal("app").await;
    assert!(matches!(error, ConnectError::NoHost { .. }), "{text}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn another_address_of_the_same_name_may_be_what_the_first_is_not() {
    let (one, two) = (Ipv4Addr::new(127, 0, 0, 20), Ipv4Addr::new(127, 0, 0, 21));
    let dns = Dns::start(vec![one, two], 60).await;
    let status = |value: &str| {
        let body = format!("in_hot_standby\0{value}\0");
        [auth_ok(), message(b'S', body.as_bytes()), ready()].concat()
    };
    let script = |value: &str| vec![Do::ReadStartup, Do::Write(status(value)), Do::Hang];
    let first = Fake::start_at(SocketAddr::new(one.into(), 0), script("on")).await;
    let at = SocketAddr::new(two.into(), first.port);
    let _second = Fake::start_at(at, script("off")).await;
    let mut entry = Entry::new("db.test.", first.port);
    entry.resolver = dns.resolver();
    entry.database.upstream.target_session_attrs = TargetSessionAttrs::Primary;
    let established = entry.connect("app").await.unwrap();
    assert_eq!(established.in_hot_standby(), Some(false));
}

#[tokio::test]
async fn a_login_that_finds_another_kind_of_server_retires_the_connections_of_before() {
    // Given a connection to a server that will do, of which the next login says that it does not,
    let server = reporting("off").await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    let mut entry = entry(&[server.port], TargetSessionAttrs::Primary);
    entry.timeout = Duration::from_millis(200);
    let connector = entry.connector();
    let request = bulkhead_sidecar::upstream::ConnectRequest {
        database: "postgres",
        role: "app",
        parameters: &[],
    };
    let deadline = || tokio::time::Instant::now() + Duration::from_millis(500);
    let before = connector.connect(&request, deadline()).await.unwrap();
    assert_eq!(before.standing.retired(), None);
    drop(server);
    // The listener ends when its task does.
    let standby = loop {
        tokio::task::yield_now().await;
        if tokio::net::TcpStream::connect(address).await.is_err() {
            let script = vec![
                Do::ReadStartup,
                Do::Write([auth_ok(), message(b'S', b"in_hot_standby\0on\0"), ready()].concat()),
                Do::Hang,
            ];
            break Fake::start_at(address, script).await;
        }
    };
    let error = connector.connect(&request, deadline()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoHost { .. }), "{error}");
    assert_eq!(standby.port, address.port());
    assert_eq!(before.standing.retired(), Some(RetirementReason::ReadOnly));
}
