//! What a session does while an operator has paused its upstream: what would begin a transaction waits, and no longer than it would
//! for a server connection.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::super::error_response::{ErrorResponse, SqlState};
use super::{Ending, Session};
use crate::factory::server::Owned;
use crate::force::DatabaseForce;
use crate::telemetry::{ErrorClass, TimeoutKind};

impl Session {
    /// While an operator has paused the upstream nothing begins on it. Waits no longer than for a connection.
    pub(super) async fn wait_for_resume(&mut self) -> Result<(), Box<ErrorResponse>> {
        let steering = Arc::clone(&self.entry.steering);
        if !steering.is_paused() {
            return Ok(());
        }
        self.work.wait(Instant::now());
        let limit = self.force.settings.timeouts.acquire;
        if timeout(limit, steering.resumed()).await.is_ok() {
            return Ok(());
        }
        let metrics = &self.entry.metrics;
        metrics.timeout(TimeoutKind::Acquire);
        metrics.error(ErrorClass::Timeout);
        self.factory.activity.count_timeout();
        Err(Box::new(paused(&self.force)))
    }

    /// Waits for the end of a pause, and keeps the connection that stays with the client.
    pub(super) async fn wait_with(&mut self, held: Owned) -> Result<(), Ending> {
        self.server = Some(held);
        let handle = Rc::clone(&self.handle);
        let interrupted = std::future::poll_fn(|cx| handle.poll_interrupted(cx));
        let outcome = tokio::select! {
            biased;
            outcome = self.wait_for_resume() => outcome,
            signal = interrupted => Err(self.interrupted(signal)?),
        };
        match outcome {
            Ok(()) => self.work.run(Instant::now()),
            Err(error) => self.refuse_waiting(&error),
        }
        Ok(())
    }
}

/// An operator has paused the upstream, and for longer than a client waits.
fn paused(force: &DatabaseForce) -> ErrorResponse {
    let (name, setting) = (&force.name, force.name_timeout(TimeoutKind::Acquire));
    ErrorResponse::error(
        SqlState::CANNOT_CONNECT_NOW,
        format!(
            "databases[{name}] is paused by an administrator (PAUSE), and was not resumed within {setting}"
        ),
    )
    .with_hint("Nothing was begun. Try again.")
}
