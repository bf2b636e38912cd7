//! What a session does while an operator has paused its upstream: what would begin a transaction waits, and no longer than it would
//! for a server connection.

use std::rc::Rc;

use tokio::time::Instant;

use super::super::error_response::ErrorResponse;
use super::{Ending, Session};
use crate::factory::begin::resumed;
use crate::factory::server::Owned;

impl Session {
    /// While an administrator has paused the upstream nothing begins on it. Waits no longer than for a connection.
    pub(super) async fn wait_for_resume(&mut self) -> Result<(), Box<ErrorResponse>> {
        let resumed = resumed(&self.entry, &self.force, &mut self.work).await;
        resumed.map_err(|error| self.checkout_error(&error))
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
