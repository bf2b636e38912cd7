//! Who leads: one Lease, renewed by its holder, and taken over when it has gone silent.
//!
//! No two clocks are compared. A candidate takes over only when the record has not changed for the lease's whole duration, by its own
//! clock, since it first saw it so; a holder stops writing ([`fence`]) when two thirds of the duration are over since it *sent* its last
//! successful renewal. The third in between is for what is still on its way. (client-go's leader election works the same way.)

pub mod fence;
mod withdraw;

use std::time::{Duration, Instant};

use bulkhead_crds::names::objects;
use k8s_openapi::api::coordination::v1::{Lease as Record, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};

use fence::Fence;
pub use withdraw::withdraw;

/// How an attempt to hold the lease ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is ours.
    Held,
    /// It is somebody else's, or somebody else was faster.
    Lost {
        /// Who holds it; empty where that is not known.
        holder: String,
    },
    /// The operator has been uninstalled since this process began, and it is not to lead any more.
    Withdrawn,
}

/// What one replica knows of the lease.
pub struct Lease {
    api: Api<Record>,
    identity: String,
    duration: Duration,
    /// The mark of an uninstallation at the first look at the lease; another one later is meant for this process.
    first_mark: Option<Option<String>>,
    seen: Option<Seen>,
}

/// The record as it was when it last changed, and when that was noticed.
struct Seen {
    record: Record,
    since: Instant,
}

impl Lease {
    /// The lease of the operator in this namespace. `identity` must be of this process alone.
    #[must_use]
    pub fn new(client: kube::Client, namespace: &str, identity: &str, duration: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            duration,
            first_mark: None,
            seen: None,
        }
    }

    /// How often to renew, and to look whether it can be had: often enough that some requests may be lost.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.duration / 8
    }

    /// For how long after a renewal was sent its holder may write.
    #[must_use]
    pub fn certain(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Acquires or renews the lease; while it is held, `fence` is open for [`Self::certain`] from the moment that the request was sent.
    ///
    /// # Errors
    /// Those of the API server, and of the network; the lease may then be held all the same, and the fence closes in time.
    pub async fn attempt(&mut self, fence: &Fence) -> Result<Attempt, kube::Error> {
        // A renewal needs no look first: what was written last is what must still be there, else the write is refused.
        let current = match &self.seen {
            Some(seen) if self.is_ours(&seen.record) => Some(seen.record.clone()),
            _ => self.api.get_opt(objects::LEASE).await?,
        };
        let Some(current) = current else {
            self.first_mark.get_or_insert(None);
            let record = self.record(None);
            let sent = Instant::now();
            let created = self.api.create(&PostParams::default(), &record).await;
            return self.outcome(created, sent, fence);
        };
        let now = Instant::now();
        self.notice(&current, now);
        if self.is_withdrawn(withdraw::mark_of(&current)) {
            return Ok(Attempt::Withdrawn);
        }
        if !self.may_take(&current, now) {
            return Ok(Attempt::Lost {
                holder: holder(&current).to_owned(),
            });
        }
        let record = self.record(Some(&current));
        let sent = Instant::now();
        let replaced = self
            .api
            .replace(objects::LEASE, &PostParams::default(), &record)
            .await;
        self.outcome(replaced, sent, fence)
    }

    /// Gives the lease back, so that the next one need not wait. The fence is closed first.
    ///
    /// # Errors
    /// Those of the API server; the lease then runs out by itself.
    pub async fn release(&mut self, fence: &Fence) -> Result<(), kube::Error> {
        fence.close();
        let Some(seen) = self.seen.take() else {
            return Ok(());
        };
        if !self.is_ours(&seen.record) {
            return Ok(());
        }
        let mut record = self.record(Some(&seen.record));
        record.metadata = seen.record.metadata;
        if let Some(spec) = &mut record.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        match self
            .api
            .replace(objects::LEASE, &PostParams::default(), &record)
            .await
        {
            Ok(_) => Ok(()),
            // Somebody has it already.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn outcome(
        &mut self,
        written: Result<Record, kube::Error>,
        sent: Instant,
        fence: &Fence,
    ) -> Result<Attempt, kube::Error> {
        match written {
            Ok(record) => {
                fence.open_until(sent, self.certain());
                self.seen = Some(Seen {
                    record,
                    since: sent,
                });
                Ok(Attempt::Held)
            }
            Err(kube::Error::Api(status))
                if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
            {
                // What is there now is not what we wrote: look again next time.
                self.seen = None;
                Ok(Attempt::Lost {
                    holder: String::new(),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Remembers a record, and since when it has been as it is.
    fn notice(&mut self, record: &Record, now: Instant) {
        let same = self.seen.as_ref().is_some_and(|seen| {
            seen.record.metadata.resource_version == record.metadata.resource_version
        });
        if !same {
            self.seen = Some(Seen {
                record: record.clone(),
                since: now,
            });
        }
    }

    fn may_take(&self, record: &Record, now: Instant) -> bool {
        if self.is_ours(record) || holder(record).is_empty() {
            return true;
        }
        // What the holder promised, and no less than what we would.
        let promised = record
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_duration_seconds)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(self.duration, Duration::from_secs);
        self.seen
            .as_ref()
            .is_some_and(|seen| now.duration_since(seen.since) >= promised.max(self.duration))
    }

    /// Whether the mark is another than the one with which this process began: it has been uninstalled meanwhile.
    fn is_withdrawn(&mut self, mark: Option<&str>) -> bool {
        let first = self
            .first_mark
            .get_or_insert_with(|| mark.map(str::to_owned));
        mark.is_some() && mark != first.as_deref()
    }

    fn is_ours(&self, record: &Record) -> bool {
        holder(record) == self.identity
    }

    fn record(&self, current: Option<&Record>) -> Record {
        let now = MicroTime(Timestamp::now());
        let before = current.and_then(|record| record.spec.as_ref());
        let ours = current.is_some_and(|record| self.is_ours(record));
        let transitions = before
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or_default();
        let acquired = before
            .filter(|_| ours)
            .and_then(|spec| spec.acquire_time.clone());
        Record {
            metadata: current.map_or_else(
                || ObjectMeta {
                    name: Some(objects::LEASE.to_owned()),
                    ..ObjectMeta::default()
                },
                |record| withdraw::undone(record.metadata.clone()),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(
                    i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX),
                ),
                acquire_time: acquired.or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(if ours || current.is_none() {
                    transitions
                } else {
                    transitions.saturating_add(1)
                }),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn holder(record: &Record) -> &str {
    record
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}
