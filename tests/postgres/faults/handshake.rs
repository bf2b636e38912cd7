//! A server that dies in the middle of a login, at each message of it.

use bulkhead_tests::listeners::{Cut, Scissors};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;

use super::{policy, until_served};

/// What a user is told who needs a new server connection; none when they are served.
async fn first_words(stage: &Stage, user: &str) -> Option<Refusal> {
    let session = match stage.try_options(&format!("-c bulkhead.user={user}")).await {
        Ok(session) => session,
        Err(error) => return Some(error.into()),
    };
    session
        .simple_query("SELECT 1")
        .await
        .err()
        .map(Refusal::from)
}

/// Cuts new connections at each message in turn, until a login comes through. How many were cut.
async fn cut_at_each_message(policy: Policy, inside: usize, reset: bool) -> usize {
    let scissors = Scissors::before(Server::shared().place().port).await;
    let stage = Stage::with(policy.timeouts("connect: 3s"))
        .upstream(scissors.port())
        .start()
        .await;
    let bob = stage.user("bob").await;
    bob.run("BEGIN; SELECT 1").await;
    for after in 0.. {
        scissors.cut_logins(Cut {
            after,
            inside,
            reset,
        });
        let told = first_words(&stage, &format!("alice-{after}")).await;
        let was_cut = scissors.spare();
        // Who had a connection goes on, and nobody's later login minds.
        bob.run("SELECT 1").await;
        let Some(refusal) = told else {
            bob.run("COMMIT").await;
            assert!(!was_cut, "a login that was cut came through");
            return after;
        };
        assert!(was_cut, "after {after}: {refusal:?}");
        assert!(refusal.code.starts_with("08"), "after {after}: {refusal:?}");
        assert!(refusal.says("databases[main].upstream"), "{refusal:?}");
        until_served(&stage, "carol").await;
    }
    unreachable!()
}

#[tokio::test]
async fn a_server_that_dies_in_mid_handshake_is_told_and_the_next_login_is_another() {
    // SCRAM's four, a dozen of parameters, the key and ReadyForQuery.
    assert!(cut_at_each_message(policy(), 0, false).await > 12);
}

#[tokio::test]
async fn a_server_that_is_reset_inside_a_message_of_the_handshake_is_told_too() {
    assert!(cut_at_each_message(policy(), 3, true).await > 12);
}

#[tokio::test]
async fn a_server_that_dies_while_it_agrees_on_tls_is_told_and_nothing_is_said_in_the_clear() {
    let policy = policy().database("upstream: {host: 127.0.0.1, tls: {mode: Require}}");
    // The answer to SSLRequest, the server's side of TLS, and what is encrypted.
    assert!(cut_at_each_message(policy, 0, false).await > 2);
}
