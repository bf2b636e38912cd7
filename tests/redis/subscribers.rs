//! A subscriber hears what is theirs: messages of their own channels, and news of their own keys.

use bulkhead_sidecar::protocol::redis::codec::{Limits, RequestWalker};
use bulkhead_sidecar::protocol::redis::commands::Shape;
use bulkhead_sidecar::protocol::redis::plan::{Decision, Isolation, decide};
use bulkhead_sidecar::protocol::redis::prefix::Unprefixer;
use bulkhead_tests::redis::{Connection, Reply, Server};

use crate::user::{Pure, Way, command, prefix};

/// A connection that is subscribed as alice.
struct Subscriber {
    connection: Connection,
    isolation: Isolation,
}

impl Subscriber {
    fn send(&mut self, line: &str) {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let bytes = command(&words);
        let mut walker = RequestWalker::new(Limits::SERVER);
        walker.walk(&bytes).unwrap();
        let arguments = walker.arguments(&bytes);
        let Decision::Plan(plan) = decide(&arguments, Some(&self.isolation)) else {
            panic!("{line} is refused")
        };
        let mut out = Vec::new();
        plan.write(&arguments, &self.isolation.prefix, &mut out);
        self.connection.try_send(&out).unwrap();
    }

    /// The next message that is for alice: its texts, apart by spaces.
    fn hears(&mut self) -> String {
        loop {
            let raw = self.connection.try_read().unwrap();
            let mut out = Vec::new();
            let step = Unprefixer::new(Shape::Messages)
                .step(&self.isolation.prefix, &raw, &mut out)
                .unwrap();
            assert!(step.ends && step.consumed == raw.len());
            if let Some((reply, _)) = Reply::parse(&out) {
                let texts: Vec<String> = reply.elements().iter().map(Reply::text).collect();
                return texts.join(" ");
            }
        }
    }
}

fn a_subscriber_hears_what_is_theirs(greeting: &str) {
    let server = Server::own_with(&["--notify-keyspace-events", "KEA"]);
    let mut connection = server.connect();
    connection.ask_line(greeting);
    let mut alice = Subscriber {
        connection,
        isolation: Isolation {
            prefix: prefix("alice"),
            per_user: false,
        },
    };
    for (line, confirmations) in [
        (
            "SUBSCRIBE news __keyspace@0__:k __keyevent@0__:del",
            &[
                "subscribe news 1",
                "subscribe __keyspace@0__:k 2",
                "subscribe __keyevent@0__:del 3",
            ][..],
        ),
        (
            "PSUBSCRIBE n?ws __keyspace@*__:l*",
            &["psubscribe n?ws 4", "psubscribe __keyspace@*__:l* 5"],
        ),
    ] {
        alice.send(line);
        for confirmation in confirmations {
            assert_eq!(alice.hears(), *confirmation);
        }
    }
    let mut bob = Pure::new(server.connect(), "bob", false);
    let mut also_alice = Pure::new(server.connect(), "alice", false);
    let mut nobody = server.connect();
    // A key of bob's that looks like one of alice's to a careless pattern.
    bob.ask(&[b"SET", b"x__:alice:list", b"1"]);
    bob.ask(&[b"SET", b"k", b"1"]);
    bob.ask(&[b"DEL", b"k"]);
    bob.ask(&[b"PUBLISH", b"news", b"of bob"]);
    nobody.ask_line("SET k 1");
    nobody.ask_line("DEL k");
    nobody.ask_line("PUBLISH news nobodys");
    also_alice.ask(&[b"SET", b"k", b"1"]);
    also_alice.ask(&[b"DEL", b"k"]);
    also_alice.ask(&[b"RPUSH", b"l1", b"1"]);
    also_alice.ask(&[b"PUBLISH", b"news", b"of alice"]);
    for want in [
        "message __keyspace@0__:k set",
        "message __keyspace@0__:k del",
        "message __keyevent@0__:del k",
        "pmessage __keyspace@*__:l* __keyspace@0__:l1 rpush",
        "message news of alice",
        "pmessage n?ws news of alice",
    ] {
        assert_eq!(alice.hears(), want);
    }
    alice.send("UNSUBSCRIBE");
    let mut ended: Vec<String> = (0..3).map(|_| alice.hears()).collect();
    for end in &mut ended {
        end.truncate(end.rfind(' ').unwrap());
    }
    ended.sort();
    assert_eq!(
        ended,
        [
            "unsubscribe __keyevent@0__:del",
            "unsubscribe __keyspace@0__:k",
            "unsubscribe news"
        ]
    );
}

#[test]
fn a_subscriber_hears_what_is_theirs_in_resp2() {
    a_subscriber_hears_what_is_theirs("PING");
}

#[test]
fn a_subscriber_hears_what_is_theirs_in_resp3() {
    a_subscriber_hears_what_is_theirs("HELLO 3");
}
