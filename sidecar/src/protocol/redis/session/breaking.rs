//! The breaker of a session's user: what it refuses, and what of this session's work counts against it.

use tokio::time::Instant;

use super::super::failure;
use super::Session;
use crate::breaker::users::Attempt;
use crate::factory::checkout::CheckoutError;
use crate::telemetry::{ErrorClass, TimeoutKind};

impl Session {
    /// Work is about to begin: as a probe, where the user's breaker is half open.
    ///
    /// # Errors
    /// It is open, and the client is told until when. In mode `Audit` that is only counted.
    pub(super) fn pass_breaker(&mut self) -> Result<(), String> {
        let (force, owner) = (&self.force, &self.factory.key.owner);
        let (limits, enforces) = (&force.settings.breaker, force.enforces());
        let breakers = &self.entry.user_breakers;
        self.attempt = Attempt::default();
        if !breakers.concern(owner) {
            return Ok(());
        }
        let passed = breakers.admit(owner, limits, enforces, Instant::now());
        self.attempt = passed.map_err(|refused| {
            self.entry.metrics.error(ErrorClass::Other);
            failure::broken_line(force, refused)
        })?;
        Ok(())
    }

    /// A clock has run out on this session's work.
    pub(super) fn note_timeout(&mut self, kind: TimeoutKind) {
        self.entry.timed_out(kind, Some(&self.factory.key.owner));
        self.entry.metrics.error(ErrorClass::Timeout);
        self.factory.activity.count_timeout();
        let (owner, limits) = (&self.factory.key.owner, &self.force.settings.breaker);
        let breakers = &self.entry.user_breakers;
        breakers.timed_out(owner, kind, &mut self.attempt, limits);
    }

    /// Work has ended. What has failed in a way that counts is no probe any more.
    pub(super) fn end_probe(&mut self) {
        let limits = &self.force.settings.breaker;
        self.entry.user_breakers.ended(&mut self.attempt, limits);
    }

    /// There was no server connection to be had.
    pub(super) fn note_checkout_error(&mut self, error: &CheckoutError) {
        match error {
            CheckoutError::Acquire { .. } | CheckoutError::Paused { .. } => {
                self.note_timeout(TimeoutKind::Acquire);
            }
            CheckoutError::Connect(_) | CheckoutError::Broken(_) => {
                self.entry.metrics.error(ErrorClass::Connection);
            }
        }
    }
}
