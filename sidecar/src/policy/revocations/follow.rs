//! What becomes of each reading of the list: in force, or refused and told. Looked at whenever the policy is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bulkhead_crds::revocations::RevocationList;

use super::{KeptList, ListReading, RevocationSource};
use crate::audit::Trail;
use crate::audit::record::Event;
use crate::identity::Revocations;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::store::Rejection;
use crate::telemetry::Metrics;

/// What stands beside the list in force: the last one that was refused, until a good one has been read.
#[derive(Debug, Default)]
pub struct RevocationStanding(Mutex<Option<Rejection>>);

impl RevocationStanding {
    /// The last list that was refused.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        let rejection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rejection.clone()
    }

    fn set(&self, rejection: Option<Rejection>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rejection;
    }
}

/// Takes over what is read.
pub struct RevocationFollower {
    pub(in crate::policy) source: RevocationSource,
    kept: Option<KeptList>,
    revocations: Arc<Revocations>,
    standing: Arc<RevocationStanding>,
    metrics: Arc<Metrics>,
    trail: Arc<Trail>,
    tell: Box<dyn Fn() + Send + Sync>,
    /// What the last reading was of.
    seen: Option<String>,
}

impl RevocationFollower {
    /// Reads the list for the first time and puts it in force; where it cannot be used, the one that was kept. Blocks on the file.
    ///
    /// # Errors
    /// What is wrong with it, where none was kept.
    pub fn begin(
        source: RevocationSource,
        kept: Option<KeptList>,
        revocations: Arc<Revocations>,
        metrics: Arc<Metrics>,
        trail: Arc<Trail>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut follower = Self {
            source,
            kept,
            revocations,
            standing: Arc::default(),
            metrics,
            trail,
            tell: Box::new(|| {}),
            seen: None,
        };
        let reading = follower.source.read();
        if let Err(diagnostics) = &reading.outcome {
            let kept = follower.kept.as_ref().and_then(KeptList::load);
            follower.put_in_force(kept.ok_or_else(|| diagnostics.clone())?);
        }
        follower.consider(reading);
        follower.show();
        Ok(follower)
    }

    /// Lets `tell` be called after each list that is in force from then on.
    #[must_use]
    pub fn telling(self, tell: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { tell, ..self }
    }

    /// What stands beside the list in force.
    #[must_use]
    pub fn standing(&self) -> Arc<RevocationStanding> {
        Arc::clone(&self.standing)
    }

    /// Takes a reading in.
    pub(in crate::policy) fn consider(&mut self, reading: ListReading) {
        let is_new = self.seen.as_ref() != Some(&reading.mark);
        self.seen = Some(reading.mark);
        if !is_new {
            // What has expired meanwhile counts no more.
            self.count();
            return;
        }
        match reading.outcome {
            Ok(accepted) => {
                accepted.warnings.iter().for_each(Diagnostic::log);
                self.take_over(accepted.list);
            }
            Err(diagnostics) => self.refuse(diagnostics),
        }
    }

    fn take_over(&self, list: RevocationList) {
        let was_refused = self.standing.rejection().is_some();
        self.standing.set(None);
        if let Some(kept) = &self.kept {
            kept.keep(&list);
        }
        let current = self.revocations.current();
        if current.list().revision() == list.revision() {
            if was_refused {
                tracing::info!("the list of revocations is good again and says what is in force");
            }
            return;
        }
        self.put_in_force(list);
    }

    fn put_in_force(&self, list: RevocationList) {
        let (revision, count) = (list.revision().to_owned(), list.revocations().len());
        self.trail.record(|_| Event::RevocationsInForce {
            list: revision.clone(),
            revocations: count,
        });
        self.revocations.put_in_force(list);
        (self.tell)();
        tracing::info!(
            revision,
            revocations = count,
            "a list of revocations is in force"
        );
        self.show();
    }

    fn refuse(&self, diagnostics: Vec<Diagnostic>) {
        self.metrics.revocation_rejections.inc();
        self.trail.record(|_| Event::RevocationsRefused {});
        let current = self.revocations.current();
        tracing::error!(
            revision = current.list().revision(),
            "list of revocations refused; the last good one stays in force"
        );
        diagnostics.iter().for_each(Diagnostic::log);
        self.standing.set(Some(Rejection {
            at: SystemTime::now(),
            diagnostics,
        }));
    }

    fn show(&self) {
        let current = self.revocations.current();
        self.metrics.revocation_list(current.list().revision());
        self.count();
    }

    fn count(&self) {
        let lasting = self.revocations.current().lasting(SystemTime::now());
        let lasting = i64::try_from(lasting).unwrap_or(i64::MAX);
        self.metrics.revocations.set(lasting);
    }
}
