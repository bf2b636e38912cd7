//! The trail as everybody else sees it: something to tell events to.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bulkhead_crds::effective::{EffectiveAuditTrail, EffectivePolicy};
use bulkhead_crds::kinds::AuditFailure;
use bulkhead_crds::names::objects::AUDIT_KEY;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::chain::{Key, SHORTEST_KEY, Seal};
use super::error::{AuditError, Unwritable};
use super::naming::Naming;
use super::record::{Around, Event};
use super::sink::Sink;
use super::writer::{Queued, State, Writer};
use crate::policy::{Diagnostic, Severity};
use crate::secrets::Secrets;
use crate::telemetry::Metrics;

/// Events that wait for the writer at one time; one more is a failure. Room is made as it is needed: a full queue has some 2 MiB.
const QUEUE: usize = 8192;
/// Reasons that a record names.
const MOST_REASONS: usize = 16;
/// How long the end of the trail may take.
const END: Duration = Duration::from_secs(3);

/// A trail, or none: then everything here costs one branch.
#[derive(Debug, Default)]
pub struct Trail(Option<On>);

struct On {
    queue: Sender<Queued>,
    state: Arc<State>,
    naming: Naming,
    /// Whether no context is accepted that cannot be recorded.
    refuses: bool,
}

/// Where the trail of a process is written.
#[derive(Clone, Debug)]
pub struct Site {
    /// The folder of its files.
    pub folder: PathBuf,
    /// The pod, or the host where there is none.
    pub pod: String,
}

impl Trail {
    /// Begins the trail that the policy asks for, and the thread that writes it. Where it cannot be written, that is tried until it can.
    ///
    /// # Errors
    /// Its key cannot be used, or the system gives no thread.
    pub fn begin(
        policy: &EffectivePolicy,
        revision: &Arc<str>,
        secrets: &Secrets,
        site: Site,
        metrics: &Metrics,
    ) -> Result<Self, AuditError> {
        let Some(trail) = &policy.audit_trail else {
            return Ok(Self::default());
        };
        let key = key_of(trail, secrets)?;
        let naming = Naming::of(trail.user_ids, key.as_ref());
        let first = Event::TrailBegan {
            version: env!("CARGO_PKG_VERSION"),
            user_ids: trail.user_ids,
            on_failure: trail.on_failure,
            key: key.as_ref().map(|key| key.id().to_owned()),
            torn: None,
            unreadable: None,
        };
        let sink = Sink::new(trail, site.folder, &site.pod)?;
        let up = metrics.audit.up(trail.destination);
        let state = Arc::new(State::new(Arc::clone(&metrics.audit), up));
        let (queue, receiver) = mpsc::channel(QUEUE);
        let writer = Writer {
            queue: receiver,
            state: Arc::clone(&state),
            sink,
            seal: key.map_or(Seal::Hash, Seal::keyed),
            around: Around {
                pod: site.pod,
                namespace: policy.namespace.clone(),
                policy: policy.name.clone(),
                revision: Arc::clone(revision),
            },
            first: Some(first),
        };
        start(writer)?;
        let trail = Self(Some(On {
            queue,
            state,
            naming,
            refuses: trail.on_failure == AuditFailure::Refuse,
        }));
        trail.in_force(revision, policy);
        Ok(trail)
    }

    /// Whether the policy's trail could begin: its key can be used.
    ///
    /// # Errors
    /// See [`Trail::begin`].
    pub fn check(policy: &EffectivePolicy, secrets: &Secrets) -> Result<(), AuditError> {
        let trail = policy.audit_trail.as_ref();
        trail.map_or(Ok(()), |trail| key_of(trail, secrets).map(drop))
    }

    /// Records an event, which is made only where there is a trail.
    pub fn record(&self, event: impl FnOnce(&Naming) -> Event) {
        if let Some(on) = &self.0 {
            on.put(Queued::Event(
                SystemTime::now(),
                Box::new(event(&on.naming)),
            ));
        }
    }

    /// Records that a context is accepted.
    ///
    /// # Errors
    /// It cannot be recorded, and the policy says that it is not accepted then.
    pub fn accept(&self, event: impl FnOnce(&Naming) -> Event) -> Result<(), Unwritable> {
        let Some(on) = &self.0 else {
            return Ok(());
        };
        if !on.refuses {
            self.record(event);
            return Ok(());
        }
        if on.state.is_failing() {
            return Err(Unwritable);
        }
        let queued = Queued::Event(SystemTime::now(), Box::new(event(&on.naming)));
        on.queue.try_send(queued).map_err(|_| {
            on.state.full(|| on.has_room());
            Unwritable
        })
    }

    /// Records that a revision is in force, which the following records name.
    pub fn in_force(&self, revision: &Arc<str>, policy: &EffectivePolicy) {
        if let Some(on) = &self.0 {
            let event = Event::PolicyInForce {
                mode: policy.mode,
                tier: policy.isolation.tier,
            };
            on.put(Queued::Revision(
                SystemTime::now(),
                Arc::clone(revision),
                Box::new(event),
            ));
        }
    }

    /// Records that a policy was not taken over.
    pub fn policy_refused(&self, diagnostics: &[Diagnostic]) {
        self.record(|_| {
            let mut reasons: Vec<String> = diagnostics
                .iter()
                .filter(|one| one.severity == Severity::Error)
                .map(|one| one.reason.clone())
                .collect();
            reasons.dedup();
            reasons.truncate(MOST_REASONS);
            Event::PolicyRefused { reasons }
        });
    }

    /// Ends the trail: what has been told is written, and that it ends. Waits no longer than a few seconds.
    pub async fn end(&self) {
        let Some(on) = &self.0 else {
            return;
        };
        let (answer, ended) = oneshot::channel();
        let ended = async {
            if on.queue.send(Queued::End(answer)).await.is_ok() {
                // A writer that has gone has written what it could.
                let _ = ended.await;
            }
        };
        if timeout(END, ended).await.is_err() {
            tracing::error!("the end of the audit trail could not be written");
        }
    }
}

impl On {
    /// Whether the writer is there, and takes more.
    fn has_room(&self) -> bool {
        !self.queue.is_closed() && self.queue.capacity() > 0
    }

    fn put(&self, queued: Queued) {
        if self.queue.try_send(queued).is_err() {
            self.state.drop_one();
            self.state.full(|| self.has_room());
        }
    }
}

impl fmt::Debug for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("On")
            .field("refuses", &self.refuses)
            .finish_non_exhaustive()
    }
}

fn start(writer: Writer) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || runtime.block_on(writer.run()))?;
    Ok(())
}

fn key_of(trail: &EffectiveAuditTrail, secrets: &Secrets) -> Result<Option<Key>, AuditError> {
    let Some(reference) = &trail.key_secret_ref else {
        return Ok(None);
    };
    let key = reference.key.as_deref().unwrap_or(AUDIT_KEY);
    let secret = secrets.read(&reference.name, key)?;
    let bytes = secret.expose().len();
    if bytes < SHORTEST_KEY {
        return Err(AuditError::ShortKey {
            name: reference.name.clone(),
            key: key.to_owned(),
            bytes,
        });
    }
    Ok(Some(Key::of(secret.expose())))
}
