//! Every command has one row of each kind, and is found.

use std::collections::{HashMap, HashSet};

use super::super::facts::{Begin, Find};
use super::super::treatment::{Form, Rule, Shape};
use super::super::{Effect, Why, document};
use super::*;

#[test]
fn every_command_is_treated_and_nothing_else_is() {
    let facts: Vec<&str> = SERVER.iter().chain(NEWER).map(|each| each.name).collect();
    let known: HashSet<&str> = facts.iter().copied().collect();
    assert_eq!(known.len(), facts.len(), "a command has two rows of facts");
    let mut treated = HashMap::new();
    for name in treatment::rows().flat_map(|(names, _)| names.iter()) {
        *treated.entry(*name).or_insert(0) += 1;
    }
    let untreated: Vec<_> = facts
        .iter()
        .filter(|name| !treated.contains_key(*name))
        .collect();
    assert!(untreated.is_empty(), "no treatment: {untreated:?}");
    let unknown: Vec<_> = treated
        .keys()
        .filter(|name| !known.contains(*name))
        .collect();
    assert!(unknown.is_empty(), "no facts: {unknown:?}");
    let twice: Vec<_> = treated.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "treated twice: {twice:?}");
}

#[test]
fn every_command_is_found_in_any_case() {
    assert!(all().len() > 400, "{}", all().len());
    for command in all() {
        let (name, sub) = command.facts.names();
        let upper = (name.to_uppercase(), sub.map(str::to_uppercase));
        for (name, sub) in [(name, sub), (upper.0.as_str(), upper.1.as_deref())] {
            let found = find(name.as_bytes(), sub.map(str::as_bytes)).unwrap();
            assert_eq!(found, command);
        }
        assert!(name.len() <= LONGEST && sub.is_none_or(|sub| sub.len() <= LONGEST));
    }
}

#[test]
fn a_subcommand_that_nobody_knows_is_the_command_alone() {
    for (name, sub, want) in [
        ("CLIENT", None, Some("client")),
        ("CLIENT", Some("nonsense"), Some("client")),
        ("client", Some("LIST"), Some("client|list")),
        ("get", Some("list"), Some("get")),
        ("client|list", None, None),
        ("gett", None, None),
        ("", None, None),
        ("averyveryverylongnameofacommandthatnobodyknows", None, None),
    ] {
        let found = find(name.as_bytes(), sub.map(str::as_bytes));
        assert_eq!(
            found.map(|command| command.facts.name),
            want,
            "{name} {sub:?}"
        );
    }
}

/// A key specification that does not tell all is never relied on, and one that is never read is not there.
#[test]
fn keys_are_taken_from_specifications_that_tell_all() {
    for command in all() {
        let name = command.facts.name;
        let complete = command.facts.keys.iter().all(|spec| {
            matches!(spec.begin, Begin::Index(_))
                && spec.find != Find::Unknown
                && !spec
                    .flags
                    .split(' ')
                    .any(|flag| matches!(flag, "incomplete" | "not_key"))
        });
        match command.treatment.prefixed {
            Rule::Keys => {
                assert!(complete, "{name}");
                assert!(!command.facts.keys.is_empty(), "{name}");
            }
            Rule::Script => assert!(complete, "{name}"),
            Rule::Passes => assert!(command.facts.keys.is_empty(), "{name}"),
            Rule::Form(_) | Rule::Refused(_) => {}
        }
    }
}

/// The flags of the server say of themselves what a treatment must not overlook.
#[test]
fn what_the_server_calls_dangerous_or_blocking_is_treated_so() {
    for command in all() {
        let name = command.facts.name;
        if command.facts.has_flag("blocking") {
            assert!(
                matches!(command.treatment.effect, Effect::Blocking(_)),
                "{name}"
            );
        }
        if command.facts.has_flag("admin") {
            // Which nodes there are tells nothing of users.
            let nodes = ["cluster|replicas", "cluster|slaves"].contains(&name);
            let passes = command.treatment.prefixed == Rule::Passes;
            assert!(!passes || nodes, "{name} is the administrator's and passes");
        }
        if command.facts.has_flag("pubsub") && command.treatment.prefixed == Rule::Passes {
            assert!(["pubsub|help", "pubsub", "ping"].contains(&name), "{name}");
        }
        if matches!(
            command.treatment.prefixed,
            Rule::Form(Form::Channels | Form::ChannelPatterns)
        ) {
            assert_eq!(command.treatment.reply, Shape::Messages, "{name}");
        }
    }
}

#[test]
fn every_reason_is_a_part_of_a_sentence() {
    for command in all() {
        if let Rule::Refused(why) = command.treatment.prefixed {
            let text = why.text();
            assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
        }
    }
    assert!(Why::Script.text().contains("acl: PerUser"));
}

#[test]
fn the_page_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/redis-commands.md");
    if std::env::var_os("BULKHEAD_WRITE_DOCS").is_some() {
        std::fs::write(path, document()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == document(),
        "docs/redis-commands.md is out of date; BULKHEAD_WRITE_DOCS=1 cargo test --workspace --locked --lib -- the_page_is_the_table writes it"
    );
}
