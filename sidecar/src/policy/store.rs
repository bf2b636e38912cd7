//! The revision in force, for everybody to read without a lock, and what stands beside it: what was refused, what waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use bulkhead_crds::effective::EffectivePolicy;
use tokio::sync::watch;

use super::diagnostic::Diagnostic;
use super::restart::{PendingRestart, hold};

/// A policy that was taken over.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Names the content: equal for equal effective policies.
    pub id: Arc<str>,
    /// Counts the policies that this process has taken over, from 1.
    pub number: u64,
    /// The policy, with the listeners that this process really has.
    pub policy: Arc<EffectivePolicy>,
}

/// A policy that was read and judged good.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Names the content.
    pub id: Arc<str>,
    /// The policy as it was written, resolved.
    pub policy: EffectivePolicy,
    /// What is legal but unwise.
    pub warnings: Vec<Diagnostic>,
}

/// A policy that was read, or could not be, and was not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// When.
    pub at: SystemTime,
    /// Why; at least one is an error.
    pub diagnostics: Vec<Diagnostic>,
}

/// What stands beside the revision in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last policy that was refused; `None` once a good one has been read.
    pub rejection: Option<Rejection>,
    /// What the policy in force asks for and only a restart can give.
    pub pending_restart: Vec<PendingRestart>,
}

/// What [`PolicyStore::take_over`] did.
#[derive(Clone, Debug)]
pub enum TakeOver {
    /// The same policy is in force already.
    Unchanged,
    /// It is in force now.
    Changed(Arc<Revision>),
    /// The trial said no, with this reason; the revision in force stays.
    Refused(String),
}

/// Whether a revision can be put in force here: what it refers to exists and can be read.
pub type Trial = dyn Fn(&Revision) -> Result<(), String> + Send + Sync;

/// The one place that knows which policy is in force. Never without one.
#[derive(Debug)]
pub struct PolicyStore {
    current: ArcSwap<Revision>,
    standing: Mutex<Standing>,
    changes: watch::Sender<u64>,
    secrets: watch::Sender<u64>,
}

impl PolicyStore {
    /// Puts the first policy in force, as revision 1.
    #[must_use]
    pub fn new(first: Accepted) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(Revision {
                id: first.id,
                number: 1,
                policy: Arc::new(first.policy),
            }),
            standing: Mutex::default(),
            changes: watch::Sender::new(1),
            secrets: watch::Sender::new(0),
        })
    }

    /// The revision in force. Without a lock; take it at the start of a piece of work and keep it to its end.
    #[must_use]
    pub fn current(&self) -> Arc<Revision> {
        self.current.load_full()
    }

    /// Changes value to the number of each new revision, after that is in force.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes value whenever a file under the secrets directory has changed: credentials and certificates are to be read
    /// again.
    #[must_use]
    pub fn secret_changes(&self) -> watch::Receiver<u64> {
        self.secrets.subscribe()
    }

    /// What stands beside the revision in force.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// Puts a policy in force around the listeners that run, if the trial allows it, and forgets the last rejection then.
    pub fn take_over(&self, accepted: Accepted, trial: &Trial) -> TakeOver {
        let mut standing = self.lock();
        let running = self.current.load();
        if running.id == accepted.id {
            // What it refers to may have become unusable since.
            if let Err(reason) = trial(&running) {
                return TakeOver::Refused(reason);
            }
            standing.rejection = None;
            return TakeOver::Unchanged;
        }
        let (policy, pending_restart) = hold(&running.policy, accepted.policy);
        let revision = Arc::new(Revision {
            id: accepted.id,
            number: running.number.saturating_add(1),
            policy: Arc::new(policy),
        });
        if let Err(reason) = trial(&revision) {
            return TakeOver::Refused(reason);
        }
        *standing = Standing {
            rejection: None,
            pending_restart,
        };
        self.current.store(Arc::clone(&revision));
        drop(standing);
        self.changes.send_replace(revision.number);
        TakeOver::Changed(revision)
    }

    /// Remembers a policy that was refused; the revision in force stays.
    pub fn reject(&self, rejection: Rejection) {
        self.lock().rejection = Some(rejection);
    }

    /// Remembers that what was read is good and cannot be put in force here; `false` where that is known already.
    pub fn cannot_apply(&self, reason: String) -> bool {
        let diagnostics = vec![Diagnostic::of_file("CannotApply", reason)];
        let mut standing = self.lock();
        if standing
            .rejection
            .as_ref()
            .is_some_and(|known| known.diagnostics == diagnostics)
        {
            return false;
        }
        standing.rejection = Some(Rejection {
            at: SystemTime::now(),
            diagnostics,
        });
        true
    }

    /// Tells everybody who reads secrets that they have changed.
    pub fn secrets_changed(&self) {
        self.secrets
            .send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// Also keeps writers apart, so that numbers and revisions go together.
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::{database, policy};

    fn accepted(id: &str, port: u16) -> Accepted {
        Accepted {
            id: id.into(),
            policy: policy(vec![database("main", port)]),
            warnings: Vec::new(),
        }
    }

    fn refused() -> Rejection {
        Rejection {
            at: SystemTime::UNIX_EPOCH,
            diagnostics: vec![Diagnostic::of_file("Unreadable", "gone".to_owned())],
        }
    }

    #[tokio::test]
    async fn a_new_policy_is_in_force_before_anybody_is_told() {
        let store = PolicyStore::new(accepted("a", 5432));
        let mut changes = store.changes();
        assert_eq!(store.current().number, 1);

        let TakeOver::Changed(revision) = store.take_over(accepted("b", 5432), &|_| Ok(())) else {
            panic!("another id is another policy");
        };
        changes.changed().await.expect("the store lives");
        assert_eq!(*changes.borrow(), 2);
        assert_eq!(store.current().id, revision.id);
    }

    #[test]
    fn the_same_policy_again_changes_nothing_but_forgives_a_rejection() {
        let store = PolicyStore::new(accepted("a", 5432));
        let changes = store.changes();
        store.reject(refused());
        assert_eq!(store.standing().rejection, Some(refused()));
        assert_eq!(
            store.current().number,
            1,
            "the last good one stays in force"
        );

        assert!(matches!(
            store.take_over(accepted("a", 5432), &|_| Ok(())),
            TakeOver::Unchanged
        ));
        assert_eq!(store.standing().rejection, None);
        assert!(!changes.has_changed().expect("the store lives"));
    }

    #[test]
    fn what_waits_for_a_restart_is_told_until_the_policy_changes_back() {
        let store = PolicyStore::new(accepted("a", 5432));
        store.take_over(accepted("b", 5433), &|_| Ok(()));
        assert_eq!(store.standing().pending_restart[0].wanted, "5433");
        assert_eq!(store.current().policy.databases[0].listen.port, 5432);

        store.take_over(accepted("a", 5432), &|_| Ok(()));
        assert_eq!(store.standing().pending_restart, []);
        assert_eq!(store.current().number, 3);
    }

    #[test]
    fn a_policy_that_fails_its_trial_changes_nothing() {
        let store = PolicyStore::new(accepted("a", 5432));
        let changes = store.changes();
        let took = store.take_over(accepted("b", 5433), &|revision| {
            assert_eq!((&*revision.id, revision.number), ("b", 2));
            assert_eq!(
                revision.policy.databases[0].listen.port, 5432,
                "tried as it would run"
            );
            Err("no such secret".to_owned())
        });
        assert!(matches!(took, TakeOver::Refused(reason) if reason == "no such secret"));
        assert_eq!(&*store.current().id, "a");
        assert_eq!(store.standing(), Standing::default());
        assert!(!changes.has_changed().expect("the store lives"));
    }

    #[test]
    fn readers_of_secrets_are_told_of_each_change() {
        let store = PolicyStore::new(accepted("a", 5432));
        let secrets = store.secret_changes();
        store.secrets_changed();
        assert!(secrets.has_changed().expect("the store lives"));
    }
}
