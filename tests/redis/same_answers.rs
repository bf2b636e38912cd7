//! Under a prefix, a client that is alone sees what it would see without one.

use bulkhead_sidecar::protocol::redis::commands::{Form, Rule};
use bulkhead_tests::redis::{Connection, Reply, Server};

use crate::across_users::fill;
use crate::examples::examples;
use crate::user::{Pure, Way};

/// What answers by chance, by the time of day, or by the length of the key.
pub const VARYING: [&str; 14] = [
    "memory|usage",
    "spop",
    "srandmember",
    "hrandfield",
    "zrandmember",
    "xadd",
    "xpending",
    "xinfo|consumers",
    "xinfo|groups",
    "xinfo|stream",
    "lastsave",
    "time",
    "acl|genpass",
    "lolwut",
];

fn compare(prefixed: &Server, plain: &Server, greeting: &str) {
    let mut compared = 0;
    for example in examples() {
        let treatment = &example.command.treatment;
        match treatment.prefixed {
            Rule::Form(Form::Info | Form::SecondIsKey) | Rule::Refused(_) | Rule::Script => {
                continue;
            }
            _ if VARYING.contains(&example.command.facts.name) => continue,
            // What is refused of a command that is not.
            _ if example.words.iter().any(|word| {
                word.starts_with("*n") || word.starts_with("*k") || word.contains("__key")
            }) =>
            {
                continue;
            }
            _ => {}
        }
        for server in [prefixed, plain] {
            server.connect().ask_line("FLUSHALL");
        }
        let mut plain = greeted(plain, greeting);
        let mut user = Pure::new(greeted(prefixed, greeting), "alice", false);
        fill("", "value", "5", |words| drop(plain.ask(words)));
        fill("", "value", "5", |words| drop(user.ask(words)));
        let Some(got) = user.ask(&example.bytes()) else {
            continue;
        };
        let got = Reply::parse(&got).unwrap().0;
        let want = plain.ask(&example.bytes());
        assert_eq!(sorted(got), sorted(want), "{}", example.words.join(" "));
        compared += 1;
    }
    assert!(compared > 200, "{compared}");
}

fn greeted(server: &Server, greeting: &str) -> Connection {
    let mut connection = server.connect();
    connection.ask_line(greeting);
    connection
}

/// Sets and scans come in an order of the server's.
pub fn sorted(reply: Reply) -> Reply {
    match reply {
        Reply::List(elements) => {
            let mut elements: Vec<Reply> = elements.into_iter().map(sorted).collect();
            elements.sort_by_key(|element| format!("{element:?}"));
            Reply::List(elements)
        }
        Reply::Map(pairs) => {
            let mut pairs: Vec<_> = pairs
                .into_iter()
                .map(|(key, value)| (sorted(key), sorted(value)))
                .collect();
            pairs.sort_by_key(|pair| format!("{pair:?}"));
            Reply::Map(pairs)
        }
        reply => reply,
    }
}

#[test]
fn a_client_sees_what_it_would_see_alone() {
    let (prefixed, plain) = (Server::own(), Server::own());
    compare(&prefixed, &plain, "PING");
    compare(&prefixed, &plain, "HELLO 3");
}
