//! node-postgres, and its pool.

use std::process::Command;

use bulkhead_tests::programs::{drivers, of_suite};

use crate::{behaves, reset, session_mode, transaction_mode};

fn node_postgres() -> Command {
    drivers::node(&of_suite("drivers").join("node/drivers.mjs"))
}

#[tokio::test]
async fn node_postgres_works_in_transaction_mode() {
    behaves(transaction_mode(), node_postgres()).await;
}

#[tokio::test]
async fn node_postgres_works_in_session_mode() {
    behaves(session_mode(), node_postgres()).await;
}

#[tokio::test]
async fn node_postgres_works_in_tier_reset() {
    behaves(reset(), node_postgres()).await;
}
