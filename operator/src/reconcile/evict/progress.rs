//! What has become of a policy's evictions, and what its status says of them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_crds::kinds::Advice;

use super::plan::{Moment, Step, is_missed, is_replaced};
use crate::index::{PodFacts, Workload};
use crate::reconcile::judge::listed;
use crate::reconcile::programmed::Force;

/// How long a successor may take to be ready, before others may go: those that are not ready hold them up anyway.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest pause after a refusal; it doubles from the interval up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Refusals that are told, one for each workload.
const REFUSALS: usize = 5;
/// What is told of the API server's words, in characters.
const LONGEST_TEXT: usize = 400;
/// The field that all of this is about.
const PATH: &str = "spec.injection.missed";

/// The evictions of one policy, for one term of leading. Times are of the caller's own clock.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct Evictions {
    /// The template that pods are injected from, by its hash, and since when it is published.
    template: Option<(String, Duration)>,
    under_way: Option<UnderWay>,
    /// Workloads whose evicted pod came back without the sidecar, with the uids of their pods at that time.
    in_vain: BTreeMap<Workload, BTreeSet<String>>,
    /// Workloads whose pod could not be evicted when it was last tried.
    refused: BTreeMap<Workload, Refusal>,
    not_before: Duration,
    again: Option<Duration>,
    advice: Vec<Advice>,
}

/// An eviction whose successor is still to come.
#[derive(Debug)]
struct UnderWay {
    workload: Workload,
    /// The workload's pods at that time, by uid.
    known: BTreeSet<String>,
    since: Duration,
}

/// A pod that could not be evicted.
#[derive(Debug)]
struct Refusal {
    pod: String,
    says: String,
    /// When it is tried again.
    until: Duration,
    /// How long is waited after the next refusal.
    pause: Duration,
}

impl Evictions {
    /// When there is something to do although nothing has happened.
    pub(in crate::reconcile) const fn again(&self) -> Option<Duration> {
        self.again
    }

    /// What the status says of it.
    pub(in crate::reconcile) fn advice(&self) -> &[Advice] {
        &self.advice
    }

    /// Takes note of the template in force, by its hash; none where it is not published yet. With another one what was in vain may not be.
    pub(super) fn published(&mut self, hash: Option<&str>, now: Duration) {
        let Some(hash) = hash else {
            self.template = None;
            return;
        };
        if self
            .template
            .as_ref()
            .is_some_and(|(known, _)| known == hash)
        {
            return;
        }
        self.in_vain.clear();
        self.template = Some((hash.to_owned(), now));
    }

    /// Looks for the successor of the pod that went; says what to tell if that has no sidecar either.
    pub(super) fn look(
        &mut self,
        policy: &str,
        pods: &[&PodFacts],
        moment: &Moment,
    ) -> Option<String> {
        self.in_vain.retain(|workload, known| {
            let mut since = news(pods, workload, known);
            !since.any(|pod| pod.is_injected_by(policy))
        });
        let under_way = self.under_way.as_ref()?;
        let successors: Vec<&PodFacts> =
            news(pods, &under_way.workload, &under_way.known).collect();
        let missed = successors.iter().find(|pod| !pod.is_injected_by(policy));
        let has_come = successors.iter().any(|pod| pod.is_ready);
        let is_late = moment.now.saturating_sub(under_way.since) >= PATIENCE;
        if missed.is_none() && !has_come && !is_late {
            return None;
        }
        let workload = self.under_way.take()?.workload;
        self.not_before = moment.now + moment.interval;
        let missed = missed?;
        let told = format!(
            "{} was made in the place of a pod that had been evicted, and has no sidecar either: no more pods of {workload} are evicted",
            missed.name
        );
        self.in_vain.insert(workload.clone(), uids(pods, &workload));
        Some(told)
    }

    /// Until when others wait for the successor of the pod that went, if one is still to come.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.under_way
            .as_ref()
            .map(|under_way| under_way.since + PATIENCE)
    }

    /// Whether evicting pods of this one's workload has been in vain.
    pub(super) fn is_in_vain(&self, pod: &PodFacts) -> bool {
        pod.workload
            .as_ref()
            .is_some_and(|workload| self.in_vain.contains_key(workload))
    }

    /// When the next pod may go at the soonest; none while nothing would inject its successor.
    pub(super) fn soonest(&self, moment: &Moment) -> Option<Duration> {
        let (_, published) = self.template.as_ref()?;
        let standing = moment.interval.saturating_sub(moment.standing?);
        let settled = (*published + moment.interval).max(moment.now + standing);
        Some(settled.max(self.not_before))
    }

    /// Until when pods of this one's workload are left alone, because one of them could not be evicted.
    pub(super) fn refused_until(&self, pod: &PodFacts) -> Option<Duration> {
        let refusal = self.refused.get(pod.workload.as_ref()?);
        refusal.map(|refusal| refusal.until)
    }

    /// A pod is on its way out.
    pub(super) fn evicted(&mut self, pod: &PodFacts, pods: &[&PodFacts], moment: &Moment) {
        let Some(workload) = pod.workload.clone() else {
            return;
        };
        self.refused.remove(&workload);
        self.under_way = Some(UnderWay {
            known: uids(pods, &workload),
            workload,
            since: moment.now,
        });
    }

    /// A pod has changed before it could be evicted.
    pub(super) fn changed(&mut self, moment: &Moment) {
        self.not_before = moment.now + moment.interval;
    }

    /// A pod could not be evicted: the next try waits for longer than the last, and at least for `after`. Says what to tell, if it is news.
    pub(super) fn refused(
        &mut self,
        pod: &PodFacts,
        says: &str,
        after: Duration,
        moment: &Moment,
    ) -> Option<String> {
        self.not_before = moment.now + moment.interval;
        let workload = pod.workload.clone()?;
        let before = self.refused.get(&workload);
        let pause = before.map_or(moment.interval, |before| before.pause);
        let is_news = before.is_none();
        let says = cut(says);
        let told = format!("{} was missed and cannot be evicted yet: {says}", pod.name);
        let refusal = Refusal {
            pod: pod.name.clone(),
            says,
            until: moment.now + pause.max(after),
            pause: (pause * 2).min(LONGEST_PAUSE.max(moment.interval)),
        };
        self.refused.insert(workload, refusal);
        is_news.then_some(told)
    }

    /// Notes when to look again, and what the status is to say.
    pub(super) fn note(
        &mut self,
        force: &Force<'_>,
        pods: &[&PodFacts],
        step: &Step<'_>,
        moment: &Moment,
    ) {
        let missed = |pod: &&&PodFacts| is_missed(force, pod);
        self.refused.retain(|_, refusal| {
            let mut missed = pods.iter().filter(missed);
            missed.any(|pod| pod.name == refusal.pod)
        });
        self.again = match step {
            Step::Rest | Step::Blocked(_) => None,
            Step::Wait(until) => Some(*until),
            Step::Evict(_) => Some(self.patience().unwrap_or(self.not_before).max(moment.now)),
        };
        let spared: Vec<String> = pods
            .iter()
            .filter(missed)
            .filter(|pod| !is_replaced(pod))
            .map(|pod| pod.name.clone())
            .collect();
        self.advice = self.told(&spared, step);
    }

    fn told(&self, spared: &[String], step: &Step<'_>) -> Vec<Advice> {
        let mut told = Vec::new();
        let mut add = |reason: &str, message: String| {
            told.push(Advice {
                reason: reason.to_owned(),
                message,
                path: Some(PATH.to_owned()),
            });
        };
        if !self.in_vain.is_empty() {
            let all: Vec<String> = self.in_vain.keys().map(ToString::to_string).collect();
            let all = listed(&all, ", ");
            add(
                "EvictionInVain",
                format!(
                    "an evicted pod of {all} was made anew without the sidecar, so no more of them are evicted: find out why new pods are not injected, then roll out"
                ),
            );
        }
        for refusal in self.refused.values().take(REFUSALS) {
            add(
                "EvictionRefused",
                format!(
                    "{} was missed and cannot be evicted yet, and will be tried again: {}",
                    refusal.pod, refusal.says
                ),
            );
        }
        if let Step::Blocked(pods) = step {
            let pods = listed(pods, ", ");
            add(
                "EvictionWaits",
                format!(
                    "no missed pod is evicted while others are not ready or are ending: {pods}"
                ),
            );
        }
        if !spared.is_empty() {
            let pods = listed(spared, ", ");
            add(
                "EvictionSpares",
                format!(
                    "these pods were missed and are not evicted, because nothing that is known would make them anew: {pods}; create them anew"
                ),
            );
        }
        told
    }
}

/// The pods of a workload that are not among `known`, and stay.
fn news<'a>(
    pods: &[&'a PodFacts],
    workload: &Workload,
    known: &BTreeSet<String>,
) -> impl Iterator<Item = &'a PodFacts> {
    pods.iter()
        .copied()
        .filter(|pod| pod.counts() && pod.workload.as_ref() == Some(workload))
        .filter(|pod| !known.contains(&pod.uid))
}

fn uids(pods: &[&PodFacts], workload: &Workload) -> BTreeSet<String> {
    pods.iter()
        .filter(|pod| pod.workload.as_ref() == Some(workload))
        .map(|pod| pod.uid.clone())
        .collect()
}

/// The API server's words are shown in the status, on one line that has an end.
fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_TEXT)
        .collect()
}
