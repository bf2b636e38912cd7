//! Two users in one keyspace, at random: each sees what they would see on a server of their own, in transactions too.

use bulkhead_sidecar::protocol::redis::commands::{Effect, Rule};
use bulkhead_tests::dice::Dice;
use bulkhead_tests::redis::{Connection, Reply, Server};

use crate::across_users::fill;
use crate::examples::examples;
use crate::same_answers::{VARYING, sorted};
use crate::user::{Pure, Way};

/// What depends on the time of day, beside [`VARYING`].
const TIMED: [&str; 6] = [
    "ttl",
    "pttl",
    "expiretime",
    "pexpiretime",
    "dump",
    "object|idletime",
];
/// The keys of the fixture.
const KEYS: [&str; 13] = [
    "k", "n", "l", "l2", "names", "h", "s", "s2", "z", "z2", "st", "geo", "new",
];

/// A user among others, and the same user alone.
struct Twin {
    among_others: Pure,
    alone: Connection,
}

impl Twin {
    fn does(&mut self, words: &[String]) {
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let Some(got) = self.among_others.ask(&words) else {
            return;
        };
        let got = Reply::parse(&got).unwrap().0;
        let want = self.alone.ask(&words);
        let what: Vec<_> = words
            .iter()
            .map(|word| String::from_utf8_lossy(word))
            .collect();
        assert_eq!(sorted(got), sorted(want), "{}", what.join(" "));
    }
}

fn line(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

/// A command that both may do, and whose answer is the same at any time.
fn commands() -> Vec<Vec<String>> {
    examples()
        .into_iter()
        .filter(|example| {
            let name = example.command.facts.name;
            let special = example
                .words
                .iter()
                .any(|word| word.starts_with('*') && word.len() > 1);
            matches!(
                example.command.treatment.prefixed,
                Rule::Keys | Rule::Form(_)
            ) && matches!(
                example.command.treatment.effect,
                Effect::None | Effect::Blocking(_)
            ) && !VARYING.contains(&name)
                && !TIMED.contains(&name)
                && !matches!(name, "info" | "cluster|keyslot" | "publish" | "spublish")
                && !name.starts_with("pubsub")
                && !special
        })
        .map(|example| example.words)
        .collect()
}

fn walk(seed: u32, greeting: &str, shared: &Server, alone: [&Server; 2]) {
    let mut dice = Dice(seed);
    let commands = commands();
    let greeted = |server: &Server| {
        let mut connection = server.connect();
        connection.ask_line(greeting);
        connection
    };
    shared.connect().ask_line("FLUSHALL");
    let mut twins = [("alice", alone[0]), ("bob", alone[1])].map(|(user, alone)| {
        let mut twin = Twin {
            among_others: Pure::new(greeted(shared), user, false),
            alone: greeted(alone),
        };
        twin.alone.ask_line("FLUSHALL");
        fill("", user, "5", |words| drop(twin.among_others.ask(words)));
        fill("", user, "5", |words| drop(twin.alone.ask(words)));
        twin
    });
    for _ in 0..120 {
        let twin = &mut twins[dice.below(2) as usize];
        let many = if dice.below(6) == 0 { dice.below(6) } else { 0 };
        if many > 0 {
            twin.does(&line("MULTI"));
        }
        for _ in 0..many.max(1) {
            let mut words = commands[dice.below(commands.len() as u32) as usize].clone();
            for word in words.iter_mut().skip(1) {
                if KEYS.contains(&word.as_str()) && dice.below(6) == 0 {
                    *word = KEYS[dice.below(KEYS.len() as u32) as usize].to_owned();
                }
            }
            twin.does(&words);
        }
        if many > 0 {
            twin.does(&line("EXEC"));
        }
    }
    for twin in &mut twins {
        twin.does(&line("KEYS *"));
        for key in KEYS {
            twin.does(&line(&format!("TYPE {key}")));
            twin.does(&line(&format!("SORT {key} ALPHA")));
        }
    }
}

#[test]
fn each_user_sees_what_they_would_see_alone() {
    let (shared, one, other) = (Server::own(), Server::own(), Server::own());
    for seed in 1..=12 {
        let greeting = if seed % 2 == 0 { "PING" } else { "HELLO 3" };
        walk(seed * 7919, greeting, &shared, [&one, &other]);
    }
}
