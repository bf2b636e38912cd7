//! Sees to it that a changed policy is taken over, and that a changed secret is known.
//!
//! Events of the kernel only say "look again": what has changed is found by looking, so an event that is lost, doubled or
//! early does no harm, and a slow poll finds what no event told (network file systems, an inotify limit).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::RecursiveMode;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::accepted::AcceptedCopy;
use super::diagnostic::Diagnostic;
use super::events::Events;
use super::revocations::RevocationFollower;
use super::secret_marks::{NotedSecrets, SecretMarks};
use super::source::{PolicySource, Reading};
use super::store::{Accepted, PolicyStore, Rejection, TakeOver, Trial};
use crate::audit::Trail;
use crate::telemetry::Metrics;

/// How patient a watch is.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Silence after an event before the file is read: an editor writes in several steps.
    pub quiet: Duration,
    /// How long events may put the reading off.
    pub at_most: Duration,
    /// Between looks without an event.
    pub poll: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            at_most: Duration::from_secs(1),
            poll: Duration::from_secs(15),
        }
    }
}

/// Watches one policy and one secrets directory.
pub struct PolicyWatch {
    source: PolicySource,
    secrets: Option<PathBuf>,
    store: Arc<PolicyStore>,
    metrics: Arc<Metrics>,
    timing: Timing,
    trial: Box<Trial>,
    copy: Option<AcceptedCopy>,
    revocations: Option<RevocationFollower>,
    trail: Arc<Trail>,
    nudge: Arc<Notify>,
    /// What the last reading was of.
    seen: Option<String>,
    marks: SecretMarks,
}

impl PolicyWatch {
    /// `secrets` are as they were before they were first read. Shows the revision in force in the metrics.
    #[must_use]
    pub fn new(
        source: PolicySource,
        secrets: NotedSecrets,
        store: Arc<PolicyStore>,
        metrics: Arc<Metrics>,
        timing: Timing,
    ) -> Self {
        metrics.policy_revision(&store.current().id);
        Self {
            marks: secrets.marks,
            trial: Box::new(|_| Ok(())),
            copy: None,
            revocations: None,
            trail: Arc::default(),
            nudge: Arc::default(),
            seen: None,
            source,
            secrets: secrets.directory,
            store,
            metrics,
            timing,
        }
    }

    /// Lets each new revision be tried before it is in force; the reason of a refusal is shown like any other. A refused one
    /// is tried again when the secrets change.
    #[must_use]
    pub fn with_trial(self, trial: Box<Trial>) -> Self {
        Self { trial, ..self }
    }

    /// Keeps a copy of each policy that is taken over.
    #[must_use]
    pub fn with_copy(self, copy: Option<AcceptedCopy>) -> Self {
        Self { copy, ..self }
    }

    /// Records which revisions are in force, and that one was refused.
    #[must_use]
    pub fn recording(self, trail: Arc<Trail>) -> Self {
        Self { trail, ..self }
    }

    /// Looks at the list of revocations too, whenever it looks.
    #[must_use]
    pub fn with_revocations(self, revocations: Option<RevocationFollower>) -> Self {
        Self {
            revocations,
            ..self
        }
    }

    /// What is refused at the start has this mark, and is not to be told of again.
    #[must_use]
    pub fn having_seen(self, mark: String) -> Self {
        Self {
            seen: Some(mark),
            ..self
        }
    }

    /// Makes the watch look at the files again, without an event: for whoever knows better than the kernel.
    #[must_use]
    pub fn nudge(&self) -> Arc<Notify> {
        Arc::clone(&self.nudge)
    }

    /// Watches until it is dropped; never returns by itself.
    pub async fn run(mut self) {
        let nudge = self.nudge();
        let mut events = Events::new(&nudge);
        loop {
            events.attach(&self.source.directory(), RecursiveMode::NonRecursive);
            if let Some(secrets) = &self.secrets {
                events.attach(secrets, RecursiveMode::Recursive);
            }
            if let Some(revocations) = &self.revocations {
                let directory = revocations.source.directory();
                events.attach(&directory, RecursiveMode::NonRecursive);
            }
            self.look().await;
            if timeout(self.timing.poll, nudge.notified()).await.is_ok() {
                self.settle(&nudge).await;
            }
        }
    }

    /// Waits until the events have ceased for a moment.
    async fn settle(&self, nudge: &Notify) {
        let end = Instant::now() + self.timing.at_most;
        let quiet = || timeout(self.timing.quiet, nudge.notified());
        let _ = timeout_at(end, async { while quiet().await.is_ok() {} }).await;
    }

    async fn look(&mut self) {
        self.look_at_revocations().await;
        let (source, secrets) = (self.source.clone(), self.secrets.clone());
        let looked = spawn_blocking(move || (source.read(), SecretMarks::of(secrets.as_deref())));
        let (reading, marks) = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "the policy could not be read");
                return;
            }
        };
        // First, so that a policy that names a new secret finds it.
        let secrets_changed = marks != self.marks;
        if secrets_changed {
            self.marks = marks;
            tracing::info!("secrets have changed");
            self.store.secrets_changed();
        }
        self.consider(reading, secrets_changed);
    }

    /// First, and by itself: whoever is cut off waits for no policy.
    async fn look_at_revocations(&mut self) {
        let Some(revocations) = &mut self.revocations else {
            return;
        };
        let source = revocations.source.clone();
        match spawn_blocking(move || source.read()).await {
            Ok(reading) => revocations.consider(reading),
            Err(error) => tracing::error!(%error, "the list of revocations could not be read"),
        }
    }

    fn consider(&mut self, reading: Reading, secrets_changed: bool) {
        let is_new = self.seen.as_ref() != Some(&reading.mark);
        // What was refused for want of a secret may be good now.
        let try_again = secrets_changed && self.store.standing().rejection.is_some();
        self.seen = Some(reading.mark);
        match reading.outcome {
            Ok(accepted) if is_new || try_again => self.take_over(accepted),
            Err(diagnostics) if is_new => self.reject(diagnostics),
            _ => {}
        }
    }

    fn take_over(&self, accepted: Accepted) {
        let was_refused = self.store.standing().rejection.is_some();
        let warnings = accepted.warnings.clone();
        let to_keep = self.copy.as_ref().map(|copy| (copy, accepted.clone()));
        match self.store.take_over(accepted, &self.trial) {
            TakeOver::Refused(reason) => {
                let why = vec![Diagnostic::of_file("CannotApply", reason.clone())];
                if self.store.cannot_apply(reason) {
                    self.tell_rejection(&why);
                }
            }
            TakeOver::Changed(revision) => {
                self.metrics.policy_revision(&revision.id);
                self.trail.in_force(&revision.id, &revision.policy);
                tracing::info!(
                    revision = %revision.id,
                    number = revision.number,
                    environment = revision.policy.environment,
                    "policy taken over"
                );
                if let Some((copy, accepted)) = to_keep {
                    copy.keep(&accepted);
                }
                warnings.iter().for_each(Diagnostic::log);
                for pending in self.store.standing().pending_restart {
                    tracing::warn!(
                        path = pending.path,
                        running = pending.running,
                        wanted = pending.wanted,
                        "policy change waits for a restart"
                    );
                }
            }
            TakeOver::Unchanged if was_refused => {
                tracing::info!("the policy is good again and says what is in force");
            }
            TakeOver::Unchanged => {}
        }
    }

    fn reject(&self, diagnostics: Vec<Diagnostic>) {
        self.tell_rejection(&diagnostics);
        self.store.reject(Rejection {
            at: SystemTime::now(),
            diagnostics,
        });
    }

    fn tell_rejection(&self, diagnostics: &[Diagnostic]) {
        self.metrics.policy_rejections.inc();
        self.trail.policy_refused(diagnostics);
        tracing::error!(
            revision = %self.store.current().id,
            "policy refused; the last good revision stays in force"
        );
        diagnostics.iter().for_each(Diagnostic::log);
    }
}

#[cfg(test)]
mod tests;
