//! PostgreSQL's JDBC driver, and HikariCP.

use std::process::Command;

use bulkhead_tests::programs::{drivers, of_suite};

use crate::{behaves, reset, session_mode, transaction_mode};

fn jdbc() -> Command {
    drivers::java(&of_suite("drivers").join("java/Drivers.java"))
}

#[tokio::test]
async fn jdbc_works_in_transaction_mode() {
    behaves(transaction_mode(), jdbc()).await;
}

#[tokio::test]
async fn jdbc_works_in_session_mode() {
    behaves(session_mode(), jdbc()).await;
}

#[tokio::test]
async fn jdbc_works_in_tier_reset() {
    behaves(reset(), jdbc()).await;
}
