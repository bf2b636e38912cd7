//! Telling tasks that it is time to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Learns when it is time to end. Clones learn it too.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Tells every [`Stop`] of its pair; so does dropping it.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// A pair.
#[must_use]
pub fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

/// A [`Stop`] that SIGTERM and SIGINT tell.
///
/// # Errors
/// Those of the system.
pub(super) fn on_signals() -> io::Result<Stop> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stopper, stop) = pair();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopper.stop();
    });
    Ok(stop)
}

impl Stop {
    /// Returns once it is time to end. Cancel safe.
    pub async fn stopped(&mut self) {
        // A sender that is gone is a stop too.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    /// Whether it is time to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl Stopper {
    /// It is time to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
