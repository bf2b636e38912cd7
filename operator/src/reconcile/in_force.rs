//! What is in force of each policy: published where it is accepted, left where its edit is refused, withdrawn where neither.

use std::time::Duration;

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::kinds::{InjectionTemplate, PortClosing, Selector};
use bulkhead_crds::names::objects;
use bulkhead_crds::wire::{self, Snapshot};
use kube::ResourceExt as _;

use super::closing::{self, Wish};
use super::error::Error;
use super::judge::Verdict;
use super::pass::{Memory, Passed};
use super::programmed::Force;
use super::publish::{self, Publication};
use super::share::{self, Divisor};
use super::{Context, View};
use crate::build;
use crate::index::{Index, PodFacts};

/// A policy that is in force: what it comes to, and for which pods.
pub(super) struct InForce {
    pub(super) effective: EffectivePolicy,
    pub(super) selector: Selector,
    pub(super) excluding: Vec<Selector>,
    /// The template's hash.
    pub(super) template: String,
    pub(super) revision: String,
    /// What its limits are divided by.
    pub(super) pods: u32,
    /// Why the application's own port could not be closed to the network, where that was wanted.
    pub(super) unclosed: Option<String>,
}

impl InForce {
    /// What its pods are measured by.
    pub(super) fn force<'a>(
        &'a self,
        verdict: &Verdict,
        policy: &'a str,
        namespace: &'a str,
    ) -> Force<'a> {
        let created = verdict.policy.creation_timestamp();
        Force {
            policy,
            namespace,
            selector: &self.selector,
            excluding: &self.excluding,
            created: created.map_or(0, |at| at.0.as_second()),
            opt_out: self.effective.opt_out,
            template: &self.template,
            revision: &self.revision,
        }
    }
}

/// By how many pods the policy's limits are divided now.
pub(super) fn divisor(index: &Index, memory: &mut Memory, verdict: &Verdict, now: Duration) -> u32 {
    let (mut ready, mut living) = (0, 0);
    for pod in selected(index, verdict) {
        living += 1;
        ready += u32::from(pod.is_ready && !pod.is_deleting);
    }
    let wanted = share::wanted(ready, living);
    let divisor = memory
        .divisors
        .get(&verdict.name())
        .map_or(Divisor::of(wanted), |before| before.next(wanted, now));
    memory.divisors.insert(verdict.name(), divisor);
    divisor.pods
}

/// Publishes an accepted policy; `list` are the revocations beside it, where there are any.
pub(super) async fn put_in_force(
    context: &Context,
    index: &Index,
    verdict: &Verdict,
    (effective, template, list): (&EffectivePolicy, InjectionTemplate, Option<&str>),
    pods: u32,
    passed: &mut Passed,
) -> Result<InForce, Error> {
    let wish = wish(index, verdict, effective);
    let plan = closing::plan(&verdict.name(), wish, index);
    let closed = publish::close(&context.client, &effective.namespace, &plan).await?;
    passed.written |= closed.written;
    let mut told = share::divide(effective, pods);
    let cluster = &context.settings.cluster_name;
    told.cluster = (!cluster.is_empty()).then(|| cluster.clone());
    let (snapshot, revision) = publish::snapshot(told)?;
    let publication = Publication {
        snapshot,
        revision,
        template,
        revocations: list.map(str::to_owned),
    };
    passed.written |= publish::publish(&context.client, index, &publication).await?;
    Ok(InForce {
        effective: effective.clone(),
        selector: verdict.policy.spec.selector.clone(),
        excluding: verdict.excluding.clone(),
        template: publication.template.spec.hash,
        revision: publication.revision,
        pods,
        unclosed: closed.refused,
    })
}

/// Leaves what is in force of a policy whose edit is refused, and withdraws every other that is not accepted.
pub(super) async fn keep_or_withdraw(
    context: &Context,
    view: &View,
    index: &Index,
    memory: &mut Memory,
    verdict: &Verdict,
    passed: &mut Passed,
) -> Result<Option<InForce>, Error> {
    if verdict.keeps() {
        let plan = closing::plan(&verdict.name(), Wish::Kept, index);
        let closed = publish::close(&context.client, &view.namespace, &plan).await?;
        passed.written |= closed.written;
        return Ok(kept(index, verdict));
    }
    let name = verdict.name();
    memory.divisors.remove(&name);
    let gone = publish::withdraw(&context.client, &view.namespace, index, &name).await?;
    passed.leftovers |= !gone;
    Ok(None)
}

/// What was published before, read back: the last good policy.
fn kept(index: &Index, verdict: &Verdict) -> Option<InForce> {
    let name = verdict.name();
    let template = index.templates.get(&name)?;
    let map = index.snapshots.get(&objects::snapshot(&name))?;
    let text = map
        .data
        .as_ref()?
        .get(&objects::snapshot_key(wire::VERSION))?;
    let snapshot = Snapshot::from_json(text).ok()?;
    let mut effective = snapshot.policy().clone();
    // Not in the snapshot, for it is nothing to sidecars.
    let is_closed = closing::of(&name, index).next().is_some();
    effective.network_policy = is_closed.then_some(PortClosing::Generate);
    Some(InForce {
        effective,
        selector: template.spec.selector.clone(),
        excluding: template.spec.excluding.clone().unwrap_or_default(),
        template: template.spec.hash.clone(),
        revision: snapshot.revision().to_owned(),
        pods: 1,
        unclosed: None,
    })
}

/// What an accepted policy wants of its application's own ports. Where it has no pods yet, one that it will have bears what it asks for.
fn wish<'a>(index: &'a Index, verdict: &'a Verdict, effective: &EffectivePolicy) -> Wish<'a> {
    let serves = build::Serves::THIS_RELEASE;
    if !build::closes(effective, serves) {
        return Wish::Open;
    }
    let mut pods: Vec<_> = selected(index, verdict).map(|pod| &pod.labels).collect();
    if pods.is_empty() {
        pods.extend(&verdict.policy.spec.selector.match_labels);
    }
    Wish::Closed {
        current: build::network_policy(effective, serves),
        pods,
    }
}

/// The pods that have not ended and are a policy's, by their labels.
fn selected<'a>(index: &'a Index, verdict: &'a Verdict) -> impl Iterator<Item = &'a PodFacts> {
    let selector = &verdict.policy.spec.selector;
    index
        .pods
        .values()
        .filter(move |pod| pod.is_living && selector.claims(&pod.labels, &verdict.excluding))
}
