//! The breaker of a session's user: what it refuses, and what of this session's work counts against it.
//!
//! It stands before a transaction begins; one that has begun is never ended by it.

use tokio::time::Instant;

use super::super::error_response::{ErrorResponse, SqlState};
use super::Session;
use crate::breaker::users::Attempt;
use crate::breaker::{Refused, charge, seconds};
use crate::force::DatabaseForce;
use crate::telemetry::{ErrorClass, TimeoutKind};
use crate::worker::dial::name_breaker;

impl Session {
    /// Whether the user's breaker has something to say about a transaction that begins now.
    pub(super) fn breaker_concerns(&self) -> bool {
        self.entry.user_breakers.concern(&self.factory.key.owner)
    }

    /// A transaction is about to begin: as a probe, where the user's breaker is half open.
    ///
    /// # Errors
    /// It is open, and the client is told until when. In mode `Audit` that is only counted.
    pub(super) fn pass_breaker(&mut self) -> Result<(), Box<ErrorResponse>> {
        let (force, owner) = (&self.force, &self.factory.key.owner);
        let (limits, enforces) = (&force.settings.breaker, force.enforces());
        let breakers = &self.entry.user_breakers;
        self.attempt = Attempt::default();
        let passed = breakers.admit(owner, limits, enforces, Instant::now());
        self.attempt = passed.map_err(|refused| {
            self.entry.metrics.error(ErrorClass::Other);
            self.factory.activity.count_error();
            Box::new(broken(force, refused))
        })?;
        Ok(())
    }

    /// A clock has run out on this session's work.
    pub(super) fn note_timeout(&mut self, kind: TimeoutKind) {
        let (owner, limits) = (&self.factory.key.owner, &self.force.settings.breaker);
        let breakers = &self.entry.user_breakers;
        breakers.timed_out(owner, kind, &mut self.attempt, limits);
    }

    /// The server has answered with an error.
    pub(super) fn note_failure(&mut self, sqlstate: &[u8]) {
        if charge::error_is_users(sqlstate) {
            let (owner, limits) = (&self.factory.key.owner, &self.force.settings.breaker);
            let breakers = &self.entry.user_breakers;
            breakers.failed(owner, &mut self.attempt, limits, Instant::now());
        }
    }

    /// A transaction has ended. One that has failed in a way that counts is no probe any more.
    pub(super) fn end_probe(&mut self) {
        let limits = &self.force.settings.breaker;
        self.entry.user_breakers.ended(&mut self.attempt, limits);
    }
}

/// What the client is told. `configuration_limit_exceeded`: of class 53, which drivers take for a want of resources and not for
/// something to repeat at once.
fn broken(force: &DatabaseForce, refused: Refused) -> ErrorResponse {
    let (failures, window) = name_breaker(force);
    let after = seconds(refused.after);
    ErrorResponse::error(
        SqlState::CONFIGURATION_LIMIT,
        format!(
            "the work of this user is refused: {failures} of their transactions failed or took too long within {window}; try again in {after} s"
        ),
    )
    .with_hint("Other users are not touched. See docs/postgresql.md, \"Breakers\", for what counts.")
}
