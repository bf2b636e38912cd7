//! Keys with a prefix, through the whole sidecar: an example of every command as one user, in a keyspace that holds others' keys.

use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::redis::{Connection, Reply};

use super::stage::{Stage, error};
use crate::across_users::nothing_crosses;
use crate::user::Way;

fn policy() -> Policy {
    Policy::trusted().redis("session: {keyPrefix: '{user}:'}")
}

/// A client of the sidecar's.
pub struct Client(pub Connection);

impl Way for Client {
    fn ask(&mut self, words: &[&[u8]]) -> Option<Vec<u8>> {
        self.0.try_send(&crate::user::command(words)).unwrap();
        self.0.try_read().ok()
    }
}

#[test]
fn no_command_sees_or_changes_what_is_anothers() {
    let stage = Rc::new(RefCell::new(Stage::start(&policy())));
    let open = Rc::clone(&stage);
    let stage = stage.borrow();
    nothing_crosses(&stage.server, false, || {
        Box::new(Client(open.borrow().user("alice")))
    });
}

#[test]
fn keys_are_the_users_own_and_read_as_they_were_written() {
    let stage = Stage::start(&policy());
    let (mut alice, mut bob) = (stage.user("alice"), stage.user("b:ob"));
    alice.ask_line("MSET a 1 b 2");
    bob.ask_line("SET a 9");
    assert_eq!(alice.ask_line("GET a").text(), "1");
    let mut keys: Vec<String> = alice
        .ask_line("KEYS *")
        .elements()
        .iter()
        .map(Reply::text)
        .collect();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    let mut direct: Vec<String> = stage
        .direct()
        .ask_line("KEYS *")
        .elements()
        .iter()
        .map(Reply::text)
        .collect();
    direct.sort();
    assert_eq!(direct, ["alice:a", "alice:b", "b%3Aob:a"]);
    let told = error(&alice.ask_line("FLUSHALL"));
    assert!(
        told.starts_with("NOPERM") && told.contains("databases[main].session.keyPrefix"),
        "{told}"
    );
}

#[test]
fn long_values_and_many_keys_pass() {
    let stage = Stage::start(&policy());
    let mut alice = stage.user("alice");
    let value = vec![b'x'; 300_000];
    assert_eq!(alice.ask(&[b"SET", b"big", &value]).text(), "OK");
    assert_eq!(alice.ask_line("GET big"), Reply::Bytes(value.clone()));
    assert_eq!(
        alice.ask(&[b"MSET", b"one", &value, b"two", &value]).text(),
        "OK"
    );
    assert_eq!(stage.direct().ask_line("STRLEN alice:two").text(), "300000");
    let words: Vec<String> = (0..5000).map(|at| format!("k{at}")).collect();
    let mut command: Vec<&[u8]> = vec![b"DEL"];
    command.extend(words.iter().map(String::as_bytes));
    assert_eq!(alice.ask(&command).text(), "0");
}

#[test]
fn a_transaction_answers_with_the_users_keys() {
    let stage = Stage::start(&policy());
    let mut alice = stage.user("alice");
    alice.ask_line("RPUSH list a b");
    alice.ask_line("MULTI");
    alice.ask_line("KEYS *");
    alice.ask_line("LMPOP 1 list LEFT");
    let done = alice.ask_line("EXEC");
    assert_eq!(done.elements()[0].elements()[0].text(), "list");
    assert_eq!(done.elements()[1].elements()[0].text(), "list");
}
