//! Errors of the server's that say something of the server itself, and not of the work: it shuts down, or takes no writes.
//!
//! What follows is for the connections that are to be used next; who has met the error is told it.

use std::time::Instant;

use bulkhead_crds::kinds::TargetSessionAttrs;
use tokio::time::Instant as Deadline;

use super::Session;
use super::restore::{self, RestoreError};
use crate::factory::server::Server;
use crate::telemetry::RetirementReason;

/// One row where a session that says nothing of it may not write. What a client has set for its own session does not count.
const READ_ONLY: &str = "SELECT 1 WHERE pg_catalog.pg_is_in_recovery() OR EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'default_transaction_read_only' AND reset_val OPERATOR(pg_catalog.=) 'on')";

impl Session {
    /// The server has answered with an error.
    pub(super) fn note_fail_over(&mut self, sqlstate: &[u8], fatal: bool) {
        use TargetSessionAttrs as T;
        let wanted = self.force.settings.upstream.target_session_attrs;
        let Some(server) = self.server_mut() else {
            return;
        };
        match sqlstate {
            b"57P01" if fatal => server.standing.goodbye(Instant::now()),
            b"57P02" | b"57P03" => server.standing.retire(RetirementReason::Failover),
            // A client may have made its own transaction read-only: the server is asked once it is free.
            b"25006" if matches!(wanted, T::ReadWrite | T::Primary) => server.doubted = true,
            _ => {}
        }
    }
}

/// Asks a server that has refused a write whether it refuses everybody's, and retires all connections to it where it does.
///
/// # Errors
/// As [`restore::run`].
pub(super) async fn settle_doubt(
    server: &mut Server,
    deadline: Deadline,
) -> Result<(), RestoreError> {
    if !std::mem::take(&mut server.doubted) {
        return Ok(());
    }
    let outcome = restore::run(server, READ_ONLY, deadline).await?;
    if outcome.error.is_none() && outcome.answer.is_some() {
        server.standing.retire(RetirementReason::ReadOnly);
    }
    Ok(())
}
