//! What every replica serves, leader or not.

use std::io;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::health::{self, Readiness};
use crate::metrics::Metrics;
use crate::settings::Settings;

/// What is being served; dropping it ends it.
pub(super) struct Serving {
    readiness: Readiness,
    health: AbortHandle,
}

/// Opens the ports and serves.
///
/// # Errors
/// A port that cannot be had.
pub(super) async fn start(settings: &Settings, metrics: &Metrics) -> io::Result<Serving> {
    let readiness = Readiness::default();
    let listener = health::bind(settings.admin).await?;
    tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
    let health = tokio::spawn(health::serve(listener, readiness.clone(), metrics.clone()));
    Ok(Serving {
        readiness,
        health: health.abort_handle(),
    })
}

impl Serving {
    /// Not ready from now on; returns when the requests have been answered, or `patience` is over.
    pub(super) async fn drain(&self, patience: Duration) {
        self.readiness.drain();
        let _ = patience;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.health.abort();
    }
}
