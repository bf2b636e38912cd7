//! What can fail around the sidecar, fault by fault: the rows of docs/reliability.md that no other suite has. `page` holds that page
//! to the tests that it names.

mod clock;
mod cut;
mod half_open;
mod handshake;
mod load;
mod page;
mod rotation;
mod soak;
mod storm;
mod termination;
mod vanishing;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

/// A policy whose breakers keep out of the way: what they do is another suite's.
fn policy() -> Policy {
    Policy::trusted().database("breaker: {failures: 1000, open: 100ms}")
}

/// Waits until `user` is served, with whatever new client it takes.
async fn until_served(stage: &Stage, user: &str) {
    wait::until(&format!("{user} to be served"), || async {
        match stage.try_options(&format!("-c bulkhead.user={user}")).await {
            Ok(session) => session.simple_query("SELECT 1").await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}
