//! When to try again for a spare after one could not be opened: ever later, until one could or something has changed.
//!
//! Spares are opened without anybody asking, so nobody would stop a sidecar that hammers a server which refuses it; and some
//! servers lock an account after so many wrong passwords.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::force::DatabaseForce;

/// After the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// The spares of one entry on one worker.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// What the failures below happened under. A new revision, or a secret that has changed, makes a new one.
    force: Option<Arc<DatabaseForce>>,
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// How many spares may be tried for at once: `most`, one after a failure, none before its time.
    pub(super) fn allowed(
        &mut self,
        force: &Arc<DatabaseForce>,
        now: Instant,
        most: usize,
    ) -> usize {
        let same = self
            .force
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, force));
        if !same {
            *self = Self {
                force: Some(Arc::clone(force)),
                ..Self::default()
            };
        }
        match self.until {
            Some(until) if now < until => 0,
            Some(_) => most.min(1),
            None => most,
        }
    }

    /// A spare could not be opened: how long the next one waits. `None` for a failure that says nothing new: of an older
    /// force, or of a wave whose first failure has counted.
    pub(super) fn failed(&mut self, force: &Arc<DatabaseForce>, now: Instant) -> Option<Duration> {
        let known = self.force.as_ref()?;
        if !Arc::ptr_eq(known, force) || self.until.is_some_and(|until| now < until) {
            return None;
        }
        let wait = (FIRST * (1 << self.failures.min(10))).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + wait);
        Some(wait)
    }

    /// A spare was opened.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::force::Force;
    use crate::policy::fixtures;
    use crate::secrets::Secrets;
    use crate::upstream::Resolver;

    fn forced() -> Arc<DatabaseForce> {
        let mut main = fixtures::database("main", 5432);
        main.upstream.tls_mode = bulkhead_crds::kinds::TlsMode::Disable;
        let policy = Arc::new(fixtures::policy(vec![main]));
        let secrets = Arc::new(Secrets::new(None));
        let force = Force::build("r1".into(), &policy, &secrets, &Resolver::system(), None);
        Arc::clone(&force.unwrap().databases[0])
    }

    #[test]
    fn failures_make_the_next_try_wait_ever_longer_and_alone() {
        let (force, mut now) = (forced(), Instant::now());
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        assert_eq!(backoff.allowed(&force, now, 8), 8);
        for _ in 0..8 {
            let wait = backoff.failed(&force, now).unwrap();
            assert_eq!(backoff.failed(&force, now), None, "the rest of the wave");
            assert_eq!(backoff.allowed(&force, now, 8), 0);
            now += wait;
            assert_eq!(backoff.allowed(&force, now, 8), 1);
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_success_or_another_force_begins_anew() {
        let (force, now) = (forced(), Instant::now());
        let mut backoff = Backoff::default();
        backoff.allowed(&force, now, 8);
        backoff.failed(&force, now).unwrap();
        backoff.succeeded();
        assert_eq!(backoff.allowed(&force, now, 8), 8);

        backoff.failed(&force, now).unwrap();
        let changed = forced();
        assert_eq!(backoff.allowed(&changed, now, 8), 8);
        assert_eq!(backoff.failed(&force, now), None, "of the force before");
        assert_eq!(backoff.failed(&changed, now), Some(FIRST));
    }
}
