//! Prepared statements while the server connection changes under the client: Transaction mode.

mod deallocate;
mod drivers;
mod elsewhere;
mod names;

use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::{Replies, Wire, send};

/// Takes away the server connection that `wire` would come back to, so that its next query finds another.
async fn change_server(stage: &Stage, admin: &Session) {
    admin
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND usename <> 'postgres'",
        )
        .await;
    stage.until_no_server_session(admin).await;
}

async fn run(wire: &mut Wire, statement: &str, parameters: &[&str]) -> Option<String> {
    let answer = wire.execute(statement, parameters).await;
    assert_eq!(answer.tags(), "2DCZ", "{answer:?}");
    answer.value()
}

/// Prepares `a` and `b`, which say their own names.
async fn prepare_both(wire: &mut Wire) -> Replies {
    wire.exchange(&[
        send::parse("a", "SELECT 'a'"),
        send::parse("b", "SELECT 'b'"),
        send::sync(),
    ])
    .await
}
