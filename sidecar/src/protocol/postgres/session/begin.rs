//! What must hold before work begins: the revision in force, a user who is still one, and a breaker that lets it pass.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::error_response::{ErrorResponse, Severity, SqlState};
use super::Session;
use super::baseline::Settings;
use super::signals::told;
use crate::execution::ExecutionState;
use crate::identity::Rejection;
use crate::worker::has_expired;

impl Session {
    /// A transaction begins on a server connection that stays with its client: under the revision in force, and for a user
    /// who is still one.
    pub(super) fn begin_on_held_server(&mut self) -> Result<(), Box<ErrorResponse>> {
        self.renew_force();
        self.check_context()?;
        self.pass_breaker()?;
        if !self.work.is_under_way() {
            self.work.begin(ExecutionState::Running, Instant::now());
        }
        self.renew_signature();
        Ok(())
    }

    /// New work begins under the revision that is in force now.
    pub(super) fn renew_force(&mut self) {
        if !Arc::ptr_eq(&self.entry.force_now(), &self.force) {
            self.force = self.entry.force();
            self.set_baseline(Settings::clone(&self.baseline));
        }
    }

    /// A context that has expired begins nothing new, unless the WebSocket lives that it was made for; a transaction that is open may
    /// finish.
    pub(super) fn check_context(&self) -> Result<(), Box<ErrorResponse>> {
        if let Some(revocation) = self.revocation() {
            return Err(Box::new(told(revocation, Severity::Error)));
        }
        if !self.context_has_expired() {
            return Ok(());
        }
        Err(Box::new(
            ErrorResponse::error(
                SqlState::INVALID_AUTHORIZATION,
                "the user context of this connection has expired",
            )
            .with_hint("Connect again with a fresh token: options=-c bulkhead.context=TOKEN."),
        ))
    }

    /// Whether nothing may begin under its context: it has expired, or its user is cut off.
    pub(super) fn context_is_over(&self) -> bool {
        self.context_has_expired() || self.revocation().is_some()
    }

    /// Why its user is cut off, if so. The session is told to end as well, a moment later.
    pub(super) fn revocation(&self) -> Option<Rejection> {
        let owner = &self.factory.key.owner;
        self.worker.revocation(owner, self.context.as_ref())
    }

    fn context_has_expired(&self) -> bool {
        has_expired(self.context.as_ref(), self.socket.as_ref())
    }
}
