//! What the workers of one sidecar share: metrics, limits, mailboxes, and how many users there are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use tokio::sync::oneshot;

use crate::admin::{Inventory, UserRow};
use crate::audit::{EntryTrail, Trail};
use crate::breaker::upstream::UpstreamBreaker;
use crate::factory::fairness::{Limiter, LimiterGauges};
use crate::factory::steering::Steering;
use crate::force::{DatabaseForce, Force, WebSocketForce};
use crate::identity::{Issuer, LiveSockets, Revocations};
use crate::protocol::websocket::resume::PodAddress;
use crate::telemetry::{Metrics, UpstreamMetrics, protocol_label};
use crate::worker::kills::Kills;
use crate::worker::mailbox::{Letter, Sender};

/// The shared part. Few atomics, and a lock that only start-up takes.
#[derive(Debug)]
pub struct Process {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The sockets that are open.
    pub live: LiveSockets,
    /// Whom operators have ended.
    pub kills: Kills,
    /// Who is cut off.
    pub revocations: Arc<Revocations>,
    /// The record of what is let in, refused and ended.
    pub trail: Arc<Trail>,
    /// Signs context tokens, where the policy has any.
    issuer: ArcSwapOption<Issuer>,
    mailboxes: Vec<Sender>,
    limiters: Mutex<HashMap<Arc<str>, Arc<Limiter>>>,
    breakers: Mutex<HashMap<Arc<str>, Arc<UpstreamBreaker>>>,
    steering: Mutex<HashMap<Arc<str>, Arc<Steering>>>,
    users: AtomicU32,
    sessions: AtomicUsize,
    drain_period: Duration,
    pod: PodAddress,
}

/// The part of the grace period over which WebSockets are told to go, in thirds: the rest is for their goodbyes.
const DRAIN_THIRDS: u32 = 2;

impl Process {
    /// A process whose workers have these mailboxes.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, mailboxes: Vec<Sender>) -> Self {
        Self {
            metrics,
            live: LiveSockets::default(),
            kills: Kills::default(),
            revocations: Arc::default(),
            trail: Arc::default(),
            issuer: ArcSwapOption::empty(),
            mailboxes,
            limiters: Mutex::default(),
            breakers: Mutex::default(),
            steering: Mutex::default(),
            users: AtomicU32::new(0),
            sessions: AtomicUsize::new(0),
            drain_period: Duration::ZERO,
            pod: PodAddress::Here,
        }
    }

    /// The same with a grace period after SIGTERM.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.drain_period = grace * DRAIN_THIRDS / 3;
        self
    }

    /// The same where other sidecars reach it at `pod`.
    #[must_use]
    pub const fn at(mut self, pod: PodAddress) -> Self {
        self.pod = pod;
        self
    }

    /// The same where these are cut off.
    #[must_use]
    pub fn under(mut self, revocations: &Arc<Revocations>) -> Self {
        self.revocations = Arc::clone(revocations);
        self
    }

    /// The same with an audit trail.
    #[must_use]
    pub fn recording(mut self, trail: Arc<Trail>) -> Self {
        self.trail = trail;
        self
    }

    /// The trail of a database entry.
    #[must_use]
    pub fn trail_of(&self, force: &DatabaseForce) -> EntryTrail {
        let protocol = protocol_label(force.settings.protocol);
        EntryTrail::new(Arc::clone(&self.trail), protocol, Arc::clone(&force.name))
    }

    /// The trail of a WebSocket entry.
    #[must_use]
    pub fn trail_of_socket(&self, force: &WebSocketForce) -> EntryTrail {
        EntryTrail::of_socket(Arc::clone(&self.trail), Arc::clone(&force.name))
    }

    /// What session tokens name it by.
    #[must_use]
    pub const fn pod(&self) -> PodAddress {
        self.pod
    }

    /// Over how long a drain tells WebSockets to go, each at a moment of its own.
    #[must_use]
    pub const fn drain_period(&self) -> Duration {
        self.drain_period
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// Sends a letter to one worker. One that names no worker, or comes after the worker has ended, is lost.
    pub fn send(&self, worker: usize, letter: Letter) {
        if let Some(mailbox) = self.mailboxes.get(worker) {
            // A worker that has ended has no users left to hear it.
            let _ = mailbox.send(letter);
        }
    }

    /// Sends a letter to every worker.
    pub fn send_all(&self, letter: impl Fn() -> Letter) {
        for worker in 0..self.workers() {
            self.send(worker, letter());
        }
    }

    /// The context tokens of this revision are those whose keys are told from here on.
    pub fn publish_keys(&self, force: &Force) {
        self.issuer.store(force.issuer.clone());
    }

    /// Shows what the metrics say of a revision: its terms, and the ends of its certificates.
    pub fn show(&self, force: &Force) {
        let terms = (force.policy.mode, force.policy.isolation.tier);
        self.metrics.policy_terms(terms.0, terms.1);
        self.metrics.certificates(&force.certificates());
    }

    /// Puts a revision in force on every worker.
    pub fn put_in_force(&self, force: &Arc<Force>) {
        // Before anything is signed by a new key.
        self.publish_keys(force);
        self.show(force);
        self.send_all(|| Letter::Force(Arc::clone(force)));
    }

    /// The limiter of an entry, the same for all workers.
    #[must_use]
    pub fn limiter(&self, force: &DatabaseForce) -> Arc<Limiter> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let capacity = force.settings.pool.max_connections as usize;
        let limiter = limiters.entry(Arc::clone(&force.name)).or_insert_with(|| {
            let metrics = self.upstream_metrics(force);
            let gauges = LimiterGauges {
                waiting: metrics.waiting.clone(),
                capacity: metrics.connections_limit.clone(),
            };
            Limiter::new(capacity, gauges)
        });
        Arc::clone(limiter)
    }

    /// The breaker of an entry's upstream, the same for all workers.
    #[must_use]
    pub fn breaker(&self, force: &DatabaseForce) -> Arc<UpstreamBreaker> {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = breakers
            .entry(Arc::clone(&force.name))
            .or_insert_with(|| UpstreamBreaker::new(self.upstream_metrics(force)));
        Arc::clone(breaker)
    }

    /// What operators have said about an entry, the same for all workers.
    #[must_use]
    pub fn steering(&self, entry: &Arc<str>) -> Arc<Steering> {
        let mut steering = self.steering.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(steering.entry(Arc::clone(entry)).or_default())
    }

    /// The metrics of an entry.
    #[must_use]
    pub fn upstream_metrics(&self, force: &DatabaseForce) -> Arc<UpstreamMetrics> {
        self.metrics.upstream(&force.name, force.settings.protocol)
    }

    /// A session that ends with what this gives.
    #[must_use]
    pub fn open(&self) -> Open<'_> {
        self.session_begins();
        Open(self)
    }

    /// A session begins.
    pub fn session_begins(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// A session has ended.
    pub fn session_ends(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sessions of all workers.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Bytes that are kept for resumes, in all sockets of the pod.
    #[must_use]
    pub fn resume_bytes(&self) -> u64 {
        u64::try_from(self.metrics.resume_bytes.get()).unwrap_or_default()
    }

    /// Counts bytes that are kept for resumes from now on, or no longer.
    pub fn charge_resume(&self, before: usize, now: usize) {
        // Each session takes back what it has put in, so the sum is right whatever the order.
        self.metrics.resume_bytes.add(now as i64 - before as i64);
    }

    /// One more user, if fewer than `max` have a factory.
    #[must_use]
    pub fn enter_user(&self, max: u32) -> bool {
        self.users
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |users| {
                (users < max).then_some(users + 1)
            })
            .is_ok()
    }

    /// One user less.
    pub fn leave_user(&self) {
        self.users.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session that is open.
#[derive(Debug)]
pub struct Open<'a>(&'a Process);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.session_ends();
    }
}

impl Inventory for Process {
    fn context_keys(&self) -> Option<String> {
        let issuer = self.issuer.load();
        Some(issuer.as_ref()?.key_set().to_owned())
    }

    fn users(&self) -> std::pin::Pin<Box<dyn Future<Output = Vec<UserRow>> + Send + '_>> {
        Box::pin(async {
            let mut rows = Vec::new();
            for worker in 0..self.workers() {
                let (reply, answer) = oneshot::channel();
                self.send(worker, Letter::Users(reply));
                rows.extend(answer.await.unwrap_or_default());
            }
            rows
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::worker::fixtures::within;

    fn process(workers: usize) -> (Process, Vec<crate::worker::mailbox::Receiver>) {
        let (senders, receivers) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        (Process::new(Metrics::new().unwrap(), senders), receivers)
    }

    #[test]
    fn users_are_counted_up_to_the_limit() {
        let (process, _mailboxes) = process(1);
        assert!(process.enter_user(2) && process.enter_user(2));
        assert!(!process.enter_user(2));
        process.leave_user();
        assert!(process.enter_user(2));
        assert!(!process.enter_user(1), "a lower limit lets nobody in");
    }

    #[test]
    fn a_letter_reaches_the_worker_that_it_names_and_no_other() {
        let (process, mut mailboxes) = process(2);
        process.send(1, Letter::Drain);
        process.send(7, Letter::Drain);
        assert!(mailboxes[0].try_recv().is_err());
        assert!(matches!(mailboxes[1].try_recv(), Ok(Letter::Drain)));
        process.send_all(|| Letter::Stop);
        for mailbox in &mut mailboxes {
            assert!(matches!(mailbox.try_recv(), Ok(Letter::Stop)));
        }
    }

    #[tokio::test]
    async fn a_worker_that_has_ended_has_no_users() {
        let (process, mailboxes) = process(2);
        drop(mailboxes);
        assert!(within(process.users()).await.is_empty());
    }
}
