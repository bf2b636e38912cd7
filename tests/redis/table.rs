//! The table of commands is the server's own.

use std::collections::{HashMap, HashSet};

use bulkhead_sidecar::protocol::redis::commands::{Begin, Facts, Find, KeySpec, all};
use bulkhead_tests::redis::{Reply, Server};

use crate::examples::examples;

/// The version that the table was generated from, by tests/redis/facts.
const GENERATED_FROM: &str = "7.0.15";

#[test]
fn no_command_of_the_server_is_missing() {
    let server = Server::own();
    let known: HashMap<&str, &Facts> = all()
        .iter()
        .map(|command| (command.facts.name, &command.facts))
        .collect();
    let mut connection = server.connect();
    let version = connection.ask_line("INFO server").text();
    let exact = version.contains(&format!("redis_version:{GENERATED_FROM}\r\n"));
    let mut count = 0;
    for reply in connection.ask_line("COMMAND").elements() {
        let subcommands = reply.elements()[9].elements().to_vec();
        for reply in std::iter::once(reply).chain(&subcommands) {
            let theirs = Described::read(reply);
            let ours = known
                .get(theirs.name.as_str())
                .unwrap_or_else(|| panic!("{} is not in the table", theirs.name));
            if exact {
                assert_eq!(Described::of(ours), theirs);
            }
            count += 1;
        }
    }
    assert!(count > 300, "{count}");
}

#[test]
fn there_is_an_example_of_every_command() {
    let shown: HashSet<&str> = examples()
        .iter()
        .map(|example| example.command.facts.name)
        .collect();
    let server = Server::own();
    let mut connection = server.connect();
    for reply in connection.ask_line("COMMAND").elements() {
        let subcommands = reply.elements()[9].elements();
        let alone = subcommands.is_empty().then_some(reply);
        for reply in alone.into_iter().chain(subcommands) {
            let name = Described::read(reply).name;
            assert!(shown.contains(name.as_str()), "no example of {name}");
        }
    }
}

/// What COMMAND says of a command, in the table's terms.
#[derive(Debug, PartialEq)]
struct Described {
    name: String,
    arity: i16,
    flags: String,
    categories: String,
    keys: Vec<String>,
}

impl Described {
    fn of(facts: &Facts) -> Self {
        Self {
            name: facts.name.to_owned(),
            arity: facts.arity,
            flags: facts.flags.to_owned(),
            categories: facts.categories.to_owned(),
            keys: facts.keys.iter().map(of_spec).collect(),
        }
    }

    fn read(reply: &Reply) -> Self {
        let fields = reply.elements();
        Self {
            name: fields[0].text(),
            arity: fields[1].text().parse().unwrap(),
            flags: sorted(&fields[2]),
            categories: sorted(&fields[6]).replace('@', ""),
            keys: fields[8].elements().iter().map(read_spec).collect(),
        }
    }
}

fn of_spec(spec: &KeySpec) -> String {
    let begin = match spec.begin {
        Begin::Index(index) => format!("index index {index}"),
        Begin::Keyword(word, from) => format!("keyword keyword {word} startfrom {from}"),
        Begin::Unknown => "unknown".to_owned(),
    };
    let find = match spec.find {
        Find::Range(last, step, limit) => {
            format!("range lastkey {last} keystep {step} limit {limit}")
        }
        Find::Count(at, first, step) => {
            format!("keynum keynumidx {at} firstkey {first} keystep {step}")
        }
        Find::Unknown => "unknown".to_owned(),
    };
    format!("{begin}, {find}, {}", spec.flags)
}

fn read_spec(reply: &Reply) -> String {
    let part = |name| {
        let part = field(reply, name);
        let how: Vec<String> = field(&part, "spec")
            .elements()
            .iter()
            .map(Reply::text)
            .collect();
        format!("{} {}", field(&part, "type").text(), how.join(" "))
            .trim_end()
            .to_owned()
    };
    let flags = sorted(&field(reply, "flags"));
    format!("{}, {}, {flags}", part("begin_search"), part("find_keys"))
}

/// The element behind a name, in a flat list of both.
fn field(reply: &Reply, name: &str) -> Reply {
    reply
        .elements()
        .chunks(2)
        .find(|pair| pair[0].text() == name)
        .map_or(Reply::Null, |pair| pair[1].clone())
}

fn sorted(reply: &Reply) -> String {
    let mut words: Vec<String> = reply.elements().iter().map(Reply::text).collect();
    words.sort();
    words.join(" ")
}
