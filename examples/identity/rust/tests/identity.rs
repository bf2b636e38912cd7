//! The example, run through a real sidecar before a real PostgreSQL.

use std::process::Command;

use bulkhead_tests::requests::{serves, serves_with_pool};

#[tokio::test]
async fn a_connection_for_each_request_serves_each_user_alone() {
    serves(Command::new(env!("CARGO_BIN_EXE_connect"))).await;
}

#[tokio::test]
async fn a_pool_whose_transactions_say_whose_they_are_serves_each_user_alone() {
    serves_with_pool(Command::new(env!("CARGO_BIN_EXE_checkout"))).await;
}
