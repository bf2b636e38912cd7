//! What may take how long, and how much of the server one user may have.

use std::time::Instant;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::redis::Server;

use super::stage::{Stage, error};

/// A server that can be told to do nothing for a while.
fn sleeper() -> Server {
    Server::own_with(&["--enable-debug-command", "yes"])
}

#[test]
fn a_command_that_takes_too_long_is_answered_and_the_client_goes_on() {
    let policy = Policy::trusted().redis("timeouts: {statement: 300ms}");
    let stage = Stage::before(sleeper(), &policy, &[]);
    let mut alice = stage.user("alice");
    alice.ask_line("SET k v");
    // Only this connection waits: the server does not answer it before another comes by.
    let began = Instant::now();
    let told = error(&alice.ask_line("DEBUG SLEEP 1.5"));
    assert!(
        told.starts_with("TIMEOUT") && told.contains("databases[main].timeouts.statement = 300ms"),
        "{told}"
    );
    assert!(began.elapsed().as_millis() >= 300);
    let kinds = [("upstream", "main"), ("kind", "statement")];
    assert!(stage.sidecar.metric("bulkhead_timeouts_total", &kinds) > 0.5);
    let met = bulkhead_tests::wait::blocking(bulkhead_tests::PATIENCE, || {
        (alice.ask_line("GET k").text() == "v").then_some(())
    });
    assert!(met.is_some());
}

#[test]
fn one_user_has_no_more_connections_than_the_policy_gives_and_waits_no_longer() {
    let policy = Policy::trusted().redis("{pool: {perUser: {max: 1}}, timeouts: {acquire: 300ms}}");
    let stage = Stage::start(&policy);
    let mut holds = stage.user("alice");
    holds.ask_line("MULTI");
    let mut waits = stage.user("alice");
    let told = error(&waits.ask_line("PING"));
    assert!(
        told.starts_with("TIMEOUT") && told.contains("pool.perUser.max = 1"),
        "{told}"
    );
    assert_eq!(
        stage.user("bob").ask_line("PING").text(),
        "PONG",
        "nobody else notices"
    );
    holds.ask_line("DISCARD");
    assert_eq!(waits.ask_line("PING").text(), "PONG");
}

#[test]
fn a_user_whose_commands_keep_failing_meets_their_breaker_and_nobody_else_does() {
    let policy = Policy::trusted()
        .redis("{timeouts: {statement: 100ms}, breaker: {failures: 2, window: 60s, open: 60s}}");
    let stage = Stage::before(sleeper(), &policy, &[]);
    let mut alice = stage.user("alice");
    for _ in 0..2 {
        assert!(error(&alice.ask_line("DEBUG SLEEP 0.3")).starts_with("TIMEOUT"));
        let met = bulkhead_tests::wait::blocking(bulkhead_tests::PATIENCE, || {
            (stage.direct().ask_line("PING").text() == "PONG").then_some(())
        });
        assert!(met.is_some());
    }
    let told = error(&alice.ask_line("PING"));
    assert!(
        told.contains("databases[main].breaker.failures = 2"),
        "{told}"
    );
    assert_eq!(stage.user("bob").ask_line("PING").text(), "PONG");
}
