//! Which pod may be evicted at this moment, if any may. Pure.

use std::time::Duration;

use bulkhead_crds::conditions::SkippedReason;

use super::progress::Evictions;
use crate::index::PodFacts;
use crate::reconcile::programmed::Force;

/// What is known of the moment beside the pods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// In the caller's own clock.
    pub(super) now: Duration,
    /// In seconds since the epoch, by which pods' ages are told.
    pub(super) today: i64,
    /// For how long what injects has stood; none where it does not.
    pub(super) standing: Option<Duration>,
    /// The least time between two evictions; as long must what injects have stood, and the pod have been there.
    pub(super) interval: Duration,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Nothing, until a pod changes.
    Rest,
    /// Nothing, until this time of the caller's clock.
    Wait(Duration),
    /// Nothing, until these pods are ready, or gone.
    Blocked(Vec<String>),
    /// This pod may go.
    Evict(&'a PodFacts),
}

/// What may be done now: the pod that serves nobody first, then the oldest.
pub(super) fn next<'a>(
    force: &Force<'_>,
    pods: &[&'a PodFacts],
    progress: &Evictions,
    moment: &Moment,
) -> Step<'a> {
    let wanted: Vec<&PodFacts> = pods
        .iter()
        .copied()
        .filter(|pod| is_missed(force, pod) && is_replaced(pod) && !progress.is_in_vain(pod))
        .collect();
    if wanted.is_empty() {
        return Step::Rest;
    }
    if let Some(patience) = progress.patience() {
        return Step::Wait(patience);
    }
    let later = moment.now + moment.interval;
    let soonest = progress.soonest(moment).unwrap_or(later);
    if soonest > moment.now {
        return Step::Wait(soonest);
    }
    let in_the_way = in_the_way(force, pods);
    if !in_the_way.is_empty() {
        return Step::Blocked(in_the_way);
    }
    let is_of_age = |pod: &PodFacts| {
        let age = u64::try_from(moment.today - pod.created).unwrap_or_default();
        Duration::from_secs(age) >= moment.interval
    };
    let due = |pod: &PodFacts| match progress.refused_until(pod) {
        Some(until) if until > moment.now => until,
        _ if !is_of_age(pod) => later,
        _ => moment.now,
    };
    let first = wanted
        .iter()
        .filter(|pod| due(pod) <= moment.now)
        .min_by_key(|pod| (pod.is_ready, pod.created, &pod.name));
    match first {
        Some(pod) => Step::Evict(pod),
        None => Step::Wait(wanted.iter().map(|pod| due(pod)).min().unwrap_or(later)),
    }
}

/// Whether a pod of the policy runs without a sidecar although it would have one if it were made now. One that has another policy's was not
/// missed: a rollout brings it under this one.
pub(super) fn is_missed(force: &Force<'_>, pod: &PodFacts) -> bool {
    force.has(pod) && !pod.has_container && force.skipped(pod) == SkippedReason::Missed
}

/// Whether something makes another pod in its place.
pub(super) fn is_replaced(pod: &PodFacts) -> bool {
    pod.workload
        .as_ref()
        .is_some_and(|workload| workload.replaces_pods())
}

/// The policy's pods that are on their way out, or have the sidecar and are not ready yet: there is disruption enough while they are.
fn in_the_way(force: &Force<'_>, pods: &[&PodFacts]) -> Vec<String> {
    let is_selected = |pod: &&&PodFacts| force.selector.claims(&pod.labels, force.excluding);
    let is_between = |pod: &&&PodFacts| {
        pod.is_living && (pod.is_deleting || (pod.is_injected_by(force.policy) && !pod.is_ready))
    };
    pods.iter()
        .filter(is_selected)
        .filter(is_between)
        .map(|pod| pod.name.clone())
        .collect()
}
