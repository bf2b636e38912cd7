//! The breaker of a session's user: what it refuses, and what of this session's work counts against it.

use tokio::time::Instant;

use super::super::failure;
use super::Session;
use crate::breaker::charge;
use crate::factory::checkout::CheckoutError;
use crate::telemetry::{BreakerScope, ErrorClass, TimeoutKind};

impl Session {
    /// Work is about to begin: as a probe, where the user's breaker is half open.
    ///
    /// # Errors
    /// It is open, and the client is told until when. In mode `Audit` that is only counted.
    pub(super) fn pass_breaker(&mut self) -> Result<(), String> {
        let limits = &self.force.settings.breaker;
        let owner = &self.factory.key.owner;
        let breakers = &self.entry.user_breakers;
        self.probe = None;
        if !breakers.concern(owner) {
            return Ok(());
        }
        match breakers.admit(owner, limits, Instant::now()) {
            Ok(probe) => {
                self.probe = probe;
                Ok(())
            }
            Err(refused) => {
                self.entry.metrics.breaker_refused(BreakerScope::User);
                if !self.force.enforces() {
                    return Ok(());
                }
                self.entry.metrics.error(ErrorClass::Other);
                Err(failure::broken_line(&self.force, refused))
            }
        }
    }

    /// A clock has run out on this session's work.
    pub(super) fn note_timeout(&mut self, kind: TimeoutKind) {
        self.entry.metrics.timeout(kind);
        self.entry.metrics.error(ErrorClass::Timeout);
        self.factory.activity.count_timeout();
        if charge::timeout_is_users(kind) {
            let probe = self.probe.take();
            let limits = &self.force.settings.breaker;
            let owner = &self.factory.key.owner;
            let breakers = &self.entry.user_breakers;
            breakers.failed(owner, probe, limits, Instant::now());
        }
    }

    /// Work has ended. What has failed in a way that counts is no probe any more.
    pub(super) fn end_probe(&mut self) {
        if let Some(probe) = self.probe.take() {
            let limits = &self.force.settings.breaker;
            self.entry.user_breakers.succeeded(*probe, limits);
        }
    }

    /// There was no server connection to be had.
    pub(super) fn note_checkout_error(&mut self, error: &CheckoutError) {
        match error {
            CheckoutError::Acquire { .. } => self.count_acquire_timeout(),
            CheckoutError::Connect(_) | CheckoutError::Paused(_) | CheckoutError::Broken(_) => {
                self.entry.metrics.error(ErrorClass::Connection);
            }
        }
    }

    /// The wait for a server connection was too long.
    pub(super) fn count_acquire_timeout(&self) {
        self.entry.metrics.timeout(TimeoutKind::Acquire);
        self.entry.metrics.error(ErrorClass::Timeout);
        self.factory.activity.count_timeout();
    }
}
