//! MULTI, EXEC and WATCH: the connection stays, and what the sidecar ends is told of.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::redis::Reply;

use super::stage::{Stage, error};

#[test]
fn a_transaction_is_one_connections_and_two_of_them_do_not_mix() {
    let stage = Stage::start(&Policy::trusted().redis(""));
    let (mut one, mut other) = (stage.user("alice"), stage.user("alice"));
    assert_eq!(one.ask_line("MULTI").text(), "OK");
    assert_eq!(other.ask_line("SET k other").text(), "OK", "not queued");
    assert_eq!(one.ask_line("SET k one").text(), "QUEUED");
    assert_eq!(other.ask_line("GET k").text(), "other");
    let done = one.ask_line("EXEC");
    assert_eq!(done.elements().len(), 1);
    assert_eq!(other.ask_line("GET k").text(), "one");
}

#[test]
fn what_is_watched_is_watched_for_its_client_alone() {
    let stage = Stage::start(&Policy::trusted().redis(""));
    let (mut one, mut other) = (stage.user("alice"), stage.user("alice"));
    one.ask_line("WATCH k");
    other.ask_line("SET k changed");
    for client in [&mut other, &mut one] {
        client.ask_line("MULTI");
        client.ask_line("GET k");
    }
    assert_eq!(
        other.ask_line("EXEC").elements().len(),
        1,
        "it has watched nothing"
    );
    assert_eq!(one.ask_line("EXEC"), Reply::Null);
    // Nothing is watched any more.
    one.ask_line("SET k again");
    one.ask_line("MULTI");
    one.ask_line("GET k");
    assert_eq!(one.ask_line("EXEC").elements().len(), 1);
}

#[test]
fn a_database_selected_inside_counts_once_it_is_executed() {
    let stage = Stage::start(&Policy::trusted().redis(""));
    let mut alice = stage.user("alice");
    for (end, selected) in [("DISCARD", false), ("EXEC", true)] {
        alice.ask_line("MULTI");
        assert_eq!(alice.ask_line("SELECT 7").text(), "QUEUED");
        alice.ask_line(end);
        alice.ask_line(&format!("SET by {end}"));
        let mut seven = stage.direct();
        seven.ask_line("SELECT 7");
        assert_eq!(
            seven.ask_line("EXISTS by").text(),
            if selected { "1" } else { "0" }
        );
    }
}

#[test]
fn a_transaction_that_takes_too_long_is_ended_and_its_client_learns_why() {
    let policy = Policy::trusted().redis("timeouts: {transaction: 300ms}");
    let stage = Stage::start(&policy);
    let mut alice = stage.user("alice");
    alice.ask_line("MULTI");
    assert_eq!(alice.ask_line("SET k v").text(), "QUEUED");
    let timeouts = [("upstream", "main"), ("kind", "transaction")];
    let ended = || stage.sidecar.metric("bulkhead_timeouts_total", &timeouts) > 0.5;
    let met = bulkhead_tests::wait::blocking(bulkhead_tests::PATIENCE, || ended().then_some(()));
    assert!(met.is_some());
    let told = error(&alice.ask_line("SET k w"));
    assert!(
        told.contains("databases[main].timeouts.transaction = 300ms"),
        "{told}"
    );
    assert!(error(&alice.ask_line("EXEC")).starts_with("EXECABORT"));
    assert_eq!(alice.ask_line("GET k"), Reply::Null, "and goes on");
}

#[test]
fn a_clients_silence_in_a_transaction_is_bounded() {
    let policy = Policy::trusted().redis("timeouts: {idleInTransaction: 200ms}");
    let stage = Stage::start(&policy);
    let mut alice = stage.user("alice");
    alice.ask_line("WATCH k");
    let timeouts = [("upstream", "main"), ("kind", "idle_in_transaction")];
    let ended = || stage.sidecar.metric("bulkhead_timeouts_total", &timeouts) > 0.5;
    let met = bulkhead_tests::wait::blocking(bulkhead_tests::PATIENCE, || ended().then_some(()));
    assert!(met.is_some());
    assert!(error(&alice.ask_line("MULTI")).contains("idleInTransaction"));
    assert_eq!(alice.ask_line("MULTI").text(), "OK", "told once");
    alice.ask_line("DISCARD");
}

#[test]
fn a_command_refused_inside_ends_the_transaction_as_the_server_would() {
    let policy = Policy::trusted().redis("session: {keyPrefix: '{user}:'}");
    let stage = Stage::start(&policy);
    let mut alice = stage.user("alice");
    alice.ask_line("MULTI");
    alice.ask_line("SET k v");
    assert!(error(&alice.ask_line("FLUSHALL")).starts_with("NOPERM"));
    assert!(error(&alice.ask_line("EXEC")).starts_with("EXECABORT"));
    assert_eq!(alice.ask_line("GET k"), Reply::Null);
}
