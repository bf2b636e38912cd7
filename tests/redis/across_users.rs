//! An example of every command as one user, in a keyspace that holds the same keys of another, and of nobody: theirs stay as they are, and
//! nothing of them is in any reply.

use std::collections::BTreeMap;

use bulkhead_sidecar::protocol::redis::commands::{Effect, Rule};
use bulkhead_sidecar::protocol::redis::prefix::{acl_commands, acl_reach};
use bulkhead_tests::redis::{Connection, Reply, Server};

use crate::examples::{Example, FIXTURE, examples, lines};
use crate::hostile_scripts::{no_script_crosses, scripts_of_ones_own_work};
use crate::user::{Pure, Way, prefix};

/// In every value of the others.
const SECRET: &str = "sEcReT";
/// And in every number.
const SECRET_NUMBER: &str = "987654321987";

/// Runs every example as `alice`, over a way that `open` makes anew for each, and holds it to touching and showing nothing else.
///
/// # Panics
/// When something of another user's is changed or seen.
pub fn nothing_crosses(server: &Server, per_user: bool, mut open: impl FnMut() -> Box<dyn Way>) {
    let mut admin = server.connect();
    for example in examples() {
        fill_others(&mut admin);
        let before = everything_of_others(&mut admin);
        let mut alice = open_fixture(&mut open);
        let example = filled_in(example);
        let reply = alice.ask(&example.bytes());
        let what = example.words.join(" ");
        assert_eq!(
            before,
            everything_of_others(&mut admin),
            "{what} has changed something"
        );
        if let Some(reply) = reply {
            shows_nothing(&what, &reply);
            is_as_the_table_says(&example, per_user, &reply);
        }
    }
}

/// Nothing but the fixture of another user and of nobody.
pub fn fill_others(admin: &mut Connection) {
    admin.ask_line("FLUSHALL");
    for owner in ["bob:", ""] {
        fill(owner, SECRET, SECRET_NUMBER, |words| drop(admin.ask(words)));
    }
}

/// Alice, with her own.
pub fn open_fixture(open: &mut impl FnMut() -> Box<dyn Way>) -> Box<dyn Way> {
    let mut alice = open();
    fill("", "mine", "5", |words| {
        let reply = alice.ask(words).unwrap_or_default();
        assert!(
            !reply.starts_with(b"-"),
            "{words:?}: {}",
            String::from_utf8_lossy(&reply)
        );
    });
    alice
}

/// Puts the fixture there, under keys that begin with `owner`.
pub fn fill(owner: &str, value: &str, number: &str, mut ask: impl FnMut(&[&[u8]])) {
    for line in lines(FIXTURE) {
        let line = line.replace("{value}", value).replace("{number}", number);
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let key = match words[0].as_str() {
            "XGROUP" => 2,
            "XREADGROUP" => words.len() - 2,
            _ => 1,
        };
        words[key].insert_str(0, owner);
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        ask(&words);
    }
}

/// The values of everybody but alice, as the server would move them.
pub fn everything_of_others(admin: &mut Connection) -> BTreeMap<Vec<u8>, Reply> {
    let keys = admin.ask_line("KEYS *");
    let mut others = BTreeMap::new();
    for key in keys.elements() {
        if let Reply::Bytes(key) = key
            && !key.starts_with(b"alice:")
        {
            let value = admin.ask(&[b"DUMP", key]);
            others.insert(key.clone(), value);
        }
    }
    others
}

fn filled_in(mut example: Example) -> Example {
    for word in &mut example.words {
        *word = word.replace("{mine}", "alice:").replace("{other}", "bob:");
    }
    example
}

pub fn shows_nothing(what: &str, reply: &[u8]) {
    let text = String::from_utf8_lossy(reply);
    for secret in [SECRET, SECRET_NUMBER] {
        assert!(!text.contains(secret), "{what} shows {text}");
    }
    // What the client itself has said may come back.
    if !what.contains("bob:") {
        assert!(!text.contains("bob:"), "{what} shows {text}");
    }
    if !what.contains("alice:") {
        // The name of her Redis user holds it.
        let of_a_script = ["EVAL", "FCALL", "ACL WHOAMI"]
            .iter()
            .any(|name| what.starts_with(name));
        assert!(
            of_a_script || !text.contains("alice:"),
            "{what} shows its prefix: {text}"
        );
    }
}

/// Refused where the table says so without a condition, and not refused where it says that it passes.
fn is_as_the_table_says(example: &Example, per_user: bool, reply: &[u8]) {
    let treatment = &example.command.treatment;
    let text = String::from_utf8_lossy(reply);
    let refused =
        text.starts_with("-NOPERM Bulkhead refuses") && text.contains("].session.keyPrefix)");
    let what = example.words.join(" ");
    let always = treatment.refused.is_some()
        || matches!(treatment.prefixed, Rule::Refused(_))
        || (treatment.prefixed == Rule::Script && !per_user)
        || (treatment.per_user.is_some() && per_user);
    if always {
        assert!(refused, "{what}: {text}");
    } else if matches!(treatment.prefixed, Rule::Keys | Rule::Passes) {
        assert!(!text.starts_with("-NOPERM"), "{what}: {text}");
    }
    assert!(
        !matches!(treatment.effect, Effect::Kept(_)) || !refused,
        "{what}: {text}"
    );
}

fn server() -> Server {
    Server::own_with(&["--notify-keyspace-events", "KEA"])
}

#[test]
fn nothing_crosses_in_resp2() {
    let server = server();
    nothing_crosses(&server, false, || {
        Box::new(Pure::new(server.connect(), "alice", false))
    });
}

#[test]
fn nothing_crosses_in_resp3() {
    let server = server();
    nothing_crosses(&server, false, || {
        let mut connection = server.connect();
        connection.ask_line("HELLO 3");
        Box::new(Pure::new(connection, "alice", false))
    });
}

/// A server with a Redis user for alice, as the sidecar makes them.
fn server_with_alice() -> Server {
    let server = server();
    let mut admin = server.connect();
    let known: Vec<String> = admin
        .ask_line("COMMAND")
        .elements()
        .iter()
        .flat_map(|command| {
            let subcommands = command.elements()[9].elements();
            std::iter::once(command).chain(subcommands)
        })
        .map(|command| command.elements()[0].text())
        .collect();
    let reach = acl_reach(&prefix("alice"));
    let commands = acl_commands(|name| known.iter().any(|each| each == name));
    let mut setuser: Vec<&[u8]> = vec![b"ACL", b"SETUSER", b"alice", b"reset", b"on", b">pass"];
    setuser.extend(reach.iter().chain(&commands).map(Vec::as_slice));
    let reply = admin.ask(&setuser);
    assert!(!reply.is_error(), "{reply:?}");
    server
}

/// Alice as her Redis user.
fn held_alice(server: &Server) -> Pure {
    let mut connection = server.connect();
    let reply = connection.ask_line("AUTH alice pass");
    assert!(!reply.is_error(), "{reply:?}");
    Pure::new(connection, "alice", true)
}

#[test]
fn nothing_crosses_with_a_redis_user_of_ones_own() {
    let server = server_with_alice();
    nothing_crosses(&server, true, || Box::new(held_alice(&server)));
}

#[test]
fn no_script_crosses_with_a_redis_user_of_ones_own() {
    let server = server_with_alice();
    no_script_crosses(&server, || Box::new(held_alice(&server)));
    scripts_of_ones_own_work(&mut held_alice(&server));
}
