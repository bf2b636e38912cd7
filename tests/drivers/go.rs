//! pgx, and its pool.

use std::process::Command;

use bulkhead_tests::programs::{drivers, of_suite};

use crate::{behaves, reset, session_mode, transaction_mode};

fn pgx() -> Command {
    Command::new(drivers::go(&of_suite("drivers").join("go"), "drivers"))
}

#[tokio::test]
async fn pgx_works_in_transaction_mode() {
    behaves(transaction_mode(), pgx()).await;
}

#[tokio::test]
async fn pgx_works_in_session_mode() {
    behaves(session_mode(), pgx()).await;
}

#[tokio::test]
async fn pgx_works_in_tier_reset() {
    behaves(reset(), pgx()).await;
}
