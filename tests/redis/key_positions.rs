//! The arguments that get the prefix are those that the server takes for keys.

use bulkhead_sidecar::protocol::redis::codec::{Limits, RequestWalker};
use bulkhead_sidecar::protocol::redis::commands::{Form, Rule};
use bulkhead_sidecar::protocol::redis::plan::{Decision, Isolation, decide};
use bulkhead_tests::redis::{Reply, Server};

use crate::examples::examples;
use crate::user::{command, prefix};

#[test]
fn the_server_finds_the_prefix_before_every_key_and_nowhere_else() {
    let server = Server::own();
    let mut connection = server.connect();
    let isolation = Isolation {
        prefix: prefix("alice"),
        per_user: true,
    };
    let mut checked = 0;
    for example in examples() {
        match example.command.treatment.prefixed {
            Rule::Keys
            | Rule::Script
            | Rule::Form(Form::Sort | Form::GeoRadius(_) | Form::Streams) => {}
            _ => continue,
        }
        let what = example.words.join(" ");
        let bytes = command(&example.bytes());
        let mut walker = RequestWalker::new(Limits::SERVER);
        walker.walk(&bytes).unwrap();
        let arguments = walker.arguments(&bytes);
        let Decision::Plan(plan) = decide(&arguments, Some(&isolation)) else {
            continue;
        };
        let mut rewritten = Vec::new();
        plan.write(&arguments, &isolation.prefix, &mut rewritten);
        let mut walker = RequestWalker::new(Limits::SERVER);
        walker.walk(&rewritten).unwrap();
        let rewritten: Vec<&[u8]> = walker.arguments(&rewritten).iter().collect();
        let mut keys = |words: &[&[u8]]| {
            let question = [&[&b"COMMAND"[..], b"GETKEYS"], words].concat();
            match connection.ask(&question) {
                Reply::Error(_) => Vec::new(),
                reply => reply.elements().iter().map(Reply::text).collect(),
            }
        };
        let before = keys(&example.bytes());
        let prefixed: Vec<String> = before.iter().map(|key| format!("alice:{key}")).collect();
        assert_eq!(keys(&rewritten), prefixed, "{what}");
        let changed = example
            .bytes()
            .iter()
            .zip(&rewritten)
            .filter(|(before, after)| before != after)
            .count();
        assert_eq!(changed, before.len(), "{what}");
        checked += usize::from(!before.is_empty());
    }
    assert!(checked > 150, "{checked}");
}
