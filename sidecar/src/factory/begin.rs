//! Where a client's work gets its server connection from: one of its owner's that is idle, else a checkout; and while an administrator has
//! paused the upstream, nothing.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::checkout::{Checkout, CheckoutError};
use super::parking::park;
use super::server::Owned;
use crate::execution::ExecutionState;
use crate::force::DatabaseForce;
use crate::telemetry::TimeoutKind;
use crate::work::Work;
use crate::worker::Entry;

/// Waits for the end of a pause, where there is one, and no longer than for a server connection. Cancel safe.
///
/// # Errors
/// [`CheckoutError::Paused`]: it was not resumed in that time. Nothing was begun.
pub async fn resumed(
    entry: &Entry,
    force: &DatabaseForce,
    work: &mut Work,
) -> Result<(), CheckoutError> {
    if !entry.steering.is_paused() {
        return Ok(());
    }
    let steering = Arc::clone(&entry.steering);
    work.wait(Instant::now());
    let limit = force.settings.timeouts.acquire;
    let resumed = timeout(limit, steering.resumed()).await;
    resumed.map_err(|_| CheckoutError::paused(force))
}

impl Checkout<'_> {
    /// A server connection for a piece of work that begins now under `force`; what is checked out when a pause begins waits for its end. The
    /// work is `Starting` afterwards, or `Running` where it has not had to wait.
    ///
    /// Cancel safe, as [`Checkout::wait`] is.
    ///
    /// # Errors
    /// See [`CheckoutError`].
    pub async fn begin(
        &self,
        force: &DatabaseForce,
        work: &mut Work,
    ) -> Result<Owned, CheckoutError> {
        loop {
            resumed(self.entry, force, work).await?;
            if let Some(owned) = self.idle(force, work) {
                return Ok(owned);
            }
            work.wait(Instant::now());
            match self.wait().await {
                Ok(owned) if self.entry.steering.is_paused() => {
                    park(self.entry, self.factory, owned, Instant::now());
                }
                Ok(owned) => {
                    work.advance(ExecutionState::Starting);
                    return Ok(owned);
                }
                Err(CheckoutError::Paused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// One of the owner's connections that is idle: the common case, without a wait.
    pub fn idle(&self, force: &DatabaseForce, work: &mut Work) -> Option<Owned> {
        let now = Instant::now();
        let owned = self.factory.take_idle(now, self.entry.epoch_under(force))?;
        work.run(now);
        Some(owned)
    }
}

impl CheckoutError {
    /// The upstream of `force` is paused.
    #[must_use]
    pub fn paused(force: &DatabaseForce) -> Self {
        Self::Paused {
            name: Arc::clone(&force.name),
            setting: force.name_timeout(TimeoutKind::Acquire),
        }
    }
}
