//! The example, run through a real sidecar before a real PostgreSQL.

use std::process::Command;

use bulkhead_tests::requests::serves;

#[tokio::test]
async fn a_connection_for_each_request_serves_each_user_alone() {
    serves(Command::new(env!("CARGO_BIN_EXE_connect"))).await;
}
