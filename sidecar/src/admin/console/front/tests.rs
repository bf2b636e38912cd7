//! The conversation over a duplex pipe, with a console whose sidecar has no workers.

use std::sync::Arc;

use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::admin::{AdminState, Readiness};
use crate::policy::fixtures::{database, policy};
use crate::policy::{Accepted, PolicyStore};
use crate::process::Process;
use crate::protocol::postgres::message::{ProtocolVersion, StartupMessage};
use crate::telemetry::Metrics;

fn console() -> Console {
    let metrics = Metrics::new().unwrap();
    let process = Arc::new(Process::new(Arc::clone(&metrics), Vec::new()));
    let accepted = Accepted {
        id: "a1b2".into(),
        policy: policy(vec![database("main", 5432)]),
        warnings: Vec::new(),
    };
    let admin = AdminState {
        metrics,
        store: PolicyStore::new(accepted),
        revocations: Arc::clone(&process.revocations),
        revocation_standing: Arc::default(),
        readiness: Arc::new(Readiness::default()),
        inventory: Arc::clone(&process) as Arc<_>,
        trail: Arc::default(),
        drain: Arc::default(),
    };
    Console { admin, process }
}

fn caller() -> Caller {
    Caller::Unix(crate::admin::private::Peer { uid: 0, pid: None })
}

/// A client whose console is served until it ends.
struct Client(DuplexStream);

impl Client {
    fn new() -> Self {
        let (client, server) = duplex(64 * 1024);
        tokio::spawn(async move { converse(server, &console(), &caller(), None).await });
        Self(client)
    }

    async fn logged_in() -> Self {
        let mut client = Self::new();
        client.send(&startup(ProtocolVersion::V3_0)).await;
        let tags = client.until_ready().await.0;
        assert_eq!(tags, "RSSSSSSSZ");
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next message; none at the end.
    async fn next(&mut self) -> Option<(char, Vec<u8>)> {
        let mut header = [0; HEADER_LENGTH];
        self.0.read_exact(&mut header).await.ok()?;
        let header = codec::peek(&header).unwrap().unwrap();
        let mut body = vec![0; header.body_length()];
        self.0.read_exact(&mut body).await.unwrap();
        Some((char::from(header.tag), body))
    }

    /// The tags up to ReadyForQuery or the end, and the words of errors and notices.
    async fn until_ready(&mut self) -> (String, String) {
        let (mut tags, mut words) = (String::new(), String::new());
        while let Some((tag, body)) = self.next().await {
            tags.push(tag);
            if matches!(tag, 'E' | 'N') {
                words += &String::from_utf8(body).unwrap();
            }
            if tag == 'Z' {
                break;
            }
        }
        (tags, words)
    }

    async fn ask(&mut self, text: &str) -> (String, String) {
        self.send(&query(text)).await;
        self.until_ready().await
    }
}

fn startup(version: ProtocolVersion) -> Vec<u8> {
    let mut out = Vec::new();
    StartupMessage::write(
        version,
        &[("user", "anybody"), ("database", "bulkhead")],
        &mut out,
    );
    out
}

fn query(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Query {
        text: text.as_bytes(),
    }
    .write(&mut out)
    .unwrap();
    out
}

const SSL: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const GSS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

#[tokio::test]
async fn encryption_is_declined_and_an_older_protocol_agreed_on() {
    let mut client = Client::new();
    for request in [GSS, SSL] {
        client.send(&request).await;
        assert_eq!(client.0.read_u8().await.unwrap(), b'N');
    }
    client.send(&startup(ProtocolVersion::V3_2)).await;
    assert_eq!(client.until_ready().await.0, "vRSSSSSSSZ");
}

#[tokio::test]
async fn who_asks_for_encryption_for_ever_is_refused() {
    let mut client = Client::new();
    client.send(&[SSL, SSL, SSL].concat()).await;
    for _ in 0..3 {
        assert_eq!(client.0.read_u8().await.unwrap(), b'N');
    }
    assert_eq!(client.next().await.unwrap().0, 'E');
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn a_query_is_answered_command_by_command_up_to_the_first_error() {
    let mut client = Client::logged_in().await;
    let help = format!(
        "T{}C",
        "D".repeat(super::super::columns::View::ALL.len() + super::super::columns::ACTIONS.len())
    );
    assert_eq!(client.ask("SHOW HELP").await.0, help.clone() + "Z");
    assert_eq!(client.ask("show help; SHOW STATS;").await.0, help + "TDCZ");
    assert_eq!(client.ask("").await.0, "IZ");
    assert_eq!(client.ask(";").await.0, "IZ");
    let (tags, words) = client.ask("SHOW HELP; SHOW USER").await;
    assert_eq!(
        tags, "EZ",
        "nothing is carried out of what cannot be read whole"
    );
    assert!(
        words.contains("C42601") && words.contains("SHOW USERS"),
        "{words}"
    );
    // The connection goes on.
    assert_eq!(client.ask("SHOW USERS").await.0, "TCZ");
    client.send(&[b'X', 0, 0, 0, 4]).await;
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn the_extended_protocol_is_refused_once_up_to_sync() {
    let mut client = Client::logged_in().await;
    let message = |tag: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    };
    let parse = message(b'P', b"\0SHOW USERS\0\0\0");
    let bind = message(b'B', &[0; 8]);
    let sync = message(b'S', b"");
    client.send(&[parse, bind, sync].concat()).await;
    let (tags, words) = client.until_ready().await;
    assert_eq!(tags, "EZ");
    assert!(
        words.contains("C0A000") && words.contains("simple"),
        "{words}"
    );
    assert_eq!(client.ask("SHOW USERS").await.0, "TCZ");
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_conversation() {
    for (bytes, words) in [
        (&b"Q\0\0\0\x03"[..], "C08P01"),
        (&b"Q\0\x7f\0\0"[..], "the console takes"),
        (&b"!\0\0\0\x04"[..], "unknown message type"),
        (&b"p\0\0\0\x05x"[..], "authentication"),
        (&b"Q\0\0\0\x06xy"[..], "no end"),
    ] {
        let mut client = Client::logged_in().await;
        client.send(bytes).await;
        let (tags, said) = client.until_ready().await;
        assert_eq!(tags, "E", "{bytes:?}");
        assert!(said.contains(words), "{bytes:?}: {said}");
    }
    for bytes in [
        &[0, 0, 0, 3][..],
        &[0x7f, 0, 0, 0],
        &[0, 0, 0, 8, 0, 2, 0, 0],
    ] {
        let mut client = Client::new();
        client.send(bytes).await;
        assert_eq!(client.until_ready().await.0, "E", "{bytes:?}");
    }
    let mut client = Client::logged_in().await;
    assert!(client.ask("SHOW H\u{fffd}LP").await.1.contains("C42601"));
    client.send(b"Q\0\0\0\x06\xff\0").await;
    let (tags, said) = client.until_ready().await;
    assert_eq!(tags, "EZ");
    assert!(said.contains("C22021"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_half_a_message_is_not_waited_for() {
    let mut client = Client::logged_in().await;
    let (tags, words) = client.until_ready().await;
    assert_eq!(tags, "E");
    assert!(words.contains("C57P05"), "{words}");
    let mut client = Client::logged_in().await;
    client.send(b"Q\0\0").await;
    assert_eq!(client.until_ready().await.0, "");
    let mut client = Client::new();
    client.send(&[0, 0]).await;
    assert_eq!(client.until_ready().await.0, "");
}
