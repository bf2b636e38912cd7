//! The task of one namespace: it takes changes in, and passes over the namespace when they call for it.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::names::objects::ADMIN_PORT;
use futures_util::StreamExt as _;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::pass::{self, Memory, Passed};
use super::programmed::Report;
use super::sidecars::Poke;
use super::{Context, View, observe, publish};
use crate::index::{self, Index};

/// Silence after a change before the namespace is passed over: a rollout changes pods in bursts.
const QUIET: Duration = Duration::from_millis(50);
/// How long changes may put a pass off.
const AT_MOST: Duration = Duration::from_millis(500);
/// How long queries may wait until they are looked at, where an answer tells of nothing else: those of many pods together.
const TRAFFIC: Duration = Duration::from_secs(20);
/// Before trying again after an error: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// What woke the task.
enum Woken {
    Changed(bool),
    Viewed,
    Answered(String, Report),
    Due,
    Abandoned,
}

/// One namespace, and what is due in it when.
struct Tended {
    context: Arc<Context>,
    namespace: String,
    started: Instant,
    index: Index,
    memory: Memory,
    asking: JoinSet<(String, Report)>,
    poking: JoinSet<()>,
    /// The first and the last change that no pass has seen.
    dirty: Option<(Instant, Instant)>,
    again: Option<Instant>,
    retry: Duration,
}

/// Tends a namespace until it has no policy and nothing of ours any more. Dropping the future ends what it has begun.
pub(super) async fn tend(context: Arc<Context>, mut views: watch::Receiver<View>) {
    let namespace = views.borrow().namespace.clone();
    let mut changes = index::watch::namespace(&context.client, &namespace);
    let mut tended = Tended::new(context, namespace);
    loop {
        let due = tended.due();
        let woken = tokio::select! {
            biased;
            viewed = views.changed() => if viewed.is_ok() { Woken::Viewed } else { Woken::Abandoned },
            Some(change) = changes.next() => Woken::Changed(tended.take(change)),
            Some(Ok((uid, report))) = tended.asking.join_next() => Woken::Answered(uid, report),
            Some(_) = tended.poking.join_next() => continue,
            () = sleep_until(due), if views.borrow().is_known => Woken::Due,
        };
        match woken {
            Woken::Abandoned => return,
            Woken::Viewed => tended.touch(),
            Woken::Changed(true) => tended.touch(),
            Woken::Changed(false) => {}
            Woken::Answered(uid, report) => tended.answered(&uid, report),
            Woken::Due => {}
        }
        let view = views.borrow_and_update().clone();
        if !view.is_known {
            continue;
        }
        if view.is_ending && view.policies.is_empty() {
            return;
        }
        let is_idle = view.policies.is_empty() && !view.has_revocations();
        if tended.is_time() && tended.pass(&view).await && is_idle {
            return;
        }
        tended.look_after_sidecars();
    }
}

impl Tended {
    fn new(context: Arc<Context>, namespace: String) -> Self {
        let now = Instant::now();
        Self {
            context,
            namespace,
            started: now,
            index: Index::default(),
            memory: Memory::default(),
            asking: JoinSet::new(),
            poking: JoinSet::new(),
            dirty: Some((now, now)),
            again: None,
            retry: RETRY.0,
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn take(&mut self, change: Result<index::Change, kube::runtime::watcher::Error>) -> bool {
        match change {
            Ok(change) => self.index.take(change),
            Err(error) => {
                tracing::warn!(%error, namespace = self.namespace, "a watch was interrupted and goes on");
                false
            }
        }
    }

    fn touch(&mut self) {
        let now = Instant::now();
        let first = self.dirty.map_or(now, |(first, _)| first);
        self.dirty = Some((first, now));
    }

    fn answered(&mut self, uid: &str, report: Report) {
        let now = self.now();
        if self.memory.sidecars.answered(uid, report, now) {
            self.touch();
        } else if self.memory.sidecars.take_traffic() {
            let due = Instant::now() + TRAFFIC;
            self.again = Some(self.again.map_or(due, |again| again.min(due)));
        }
    }

    /// When something is due next; far away where nothing is.
    fn due(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        if !self.index.is_complete() {
            return far;
        }
        let sidecars = self.memory.sidecars.next().map(|at| self.started + at);
        let settled = self.settled();
        [sidecars, settled, self.again]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(far)
    }

    /// When the changes that no pass has seen have settled. After an error, that is when it is time to try again.
    fn settled(&self) -> Option<Instant> {
        let (first, last) = self.dirty?;
        Some((last + QUIET).min(first + AT_MOST))
    }

    fn is_time(&self) -> bool {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        self.index.is_complete() && (is_due(self.settled()) || is_due(self.again))
    }

    /// Passes over the namespace; says whether nothing of policies that have gone is left.
    async fn pass(&mut self, view: &View) -> bool {
        let now = self.now();
        let context = Arc::clone(&self.context);
        let Ok(_turn) = context.turns.acquire().await else {
            return false;
        };
        self.dirty = None;
        let passed = pass::pass(&context, view, &self.index, &mut self.memory, now).await;
        context.metrics.reconciled(pass::outcome(&passed));
        match passed {
            Ok(passed) => {
                self.settle(passed);
                !passed.leftovers && !passed.written
            }
            Err(error) => {
                tracing::warn!(%error, namespace = self.namespace, again_in = ?self.retry, "a pass failed");
                self.again = Some(Instant::now() + self.retry);
                self.retry = (self.retry * 2).min(RETRY.1);
                false
            }
        }
    }

    fn settle(&mut self, passed: Passed) {
        self.retry = RETRY.0;
        self.again = passed.again.map(|at| self.started + at);
    }

    /// Pokes and asks whoever is due.
    fn look_after_sidecars(&mut self) {
        let now = self.now();
        for poke in self.memory.sidecars.pokes(now) {
            let client = self.context.client.clone();
            let namespace = self.namespace.clone();
            self.poking.spawn(poked(client, namespace, poke));
        }
        for ask in self.memory.sidecars.due(now) {
            let turns = Arc::clone(&self.context.asks);
            self.asking.spawn(async move {
                let _turn = turns.acquire_owned().await;
                (ask.uid, observe::ask(ask.address, ADMIN_PORT).await)
            });
        }
    }
}

async fn poked(client: Client, namespace: String, poke: Poke) {
    if let Err(error) = publish::poke(&client, &namespace, &poke.pod, &poke.mark).await {
        tracing::warn!(%error, namespace, pod = poke.pod, "a pod could not be poked; trying again later");
    }
}
