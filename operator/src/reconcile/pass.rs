//! One pass over a namespace: what its policies come to is found, written, and told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::conditions::AcceptedReason;
use bulkhead_crds::kinds::{InjectionTemplate, IsolationPolicyStatus, PortClosing, Selector};
use bulkhead_crds::names::objects;
use bulkhead_crds::resolve;
use bulkhead_crds::wire::{self, Snapshot};
use kube::ResourceExt as _;

use super::closing::{self, Wish};
use super::credentials::{Needs, SeenTo};
use super::dereference::{self, SecretFacts, Secrets, named};
use super::error::Error;
use super::evict::Evictions;
use super::judge::{Circumstances, Verdict, environment, judge};
use super::programmed::Force;
use super::publish::{self, Publication};
use super::share::{self, Divisor};
use super::sidecars::{Expected, Sidecars};
use super::{Context, View, evict, tell};
use crate::build;
use crate::index::{Index, PodFacts};
use crate::metrics::Reconciled;

/// How long what is known of a Secret is believed: when all is well, and when one was missing or did not allow the policy.
const BELIEVED: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(5));

/// When a NetworkPolicy that the API server refused is tried again.
const REFUSED: Duration = Duration::from_secs(60);

/// What is kept of a namespace between passes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Its sidecars.
    pub(super) sidecars: Sidecars,
    credentials: SeenTo,
    divisors: BTreeMap<String, Divisor>,
    /// What was written last, by the policy's uid, with the version of the policy that it was written upon: the watch may not have
    /// brought it back yet.
    pub(super) told: BTreeMap<String, (Option<String>, IsolationPolicyStatus)>,
    /// What has become of pods that were missed, by policy.
    pub(super) evictions: BTreeMap<String, Evictions>,
    secrets: Secrets,
    /// Whether a policy waits for a Secret, and so what is known of Secrets is soon to be known anew.
    troubled: bool,
    looked_up: Option<Duration>,
}

/// What a pass came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// Whether anything was written.
    pub(super) written: bool,
    /// Whether something of policies that have gone is still there.
    pub(super) leftovers: bool,
    /// When to pass again although nothing has happened.
    pub(super) again: Option<Duration>,
}

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

/// Passes over a namespace. Not cancel safe in the sense that a part may have been written; the next pass goes on from there.
///
/// # Errors
/// The first error of the API server; what came before it stands.
pub(super) async fn pass(
    context: &Context,
    view: &View,
    index: &Index,
    memory: &mut Memory,
    now: Duration,
) -> Result<Passed, Error> {
    let mut passed = Passed::default();
    dereference(context, view, memory, now).await?;
    let verdicts = judged(context, view, index, memory);
    memory.troubled = verdicts.iter().any(|verdict| {
        matches!(
            verdict.reason,
            AcceptedReason::SecretMissing | AcceptedReason::SecretNotAllowed
        )
    });
    let mut templates = rendered(context, index, &verdicts);
    passed.written |= make_credentials(context, view, &templates, memory, &verdicts, now).await?;
    let mut in_force = BTreeMap::new();
    for verdict in &verdicts {
        let force = match verdict
            .effective
            .as_ref()
            .zip(templates.remove(&verdict.name()))
        {
            Some(accepted) => {
                let pods = divisor(index, memory, verdict, now);
                Some(put_in_force(context, index, verdict, accepted, pods, &mut passed).await?)
            }
            None => keep_or_withdraw(context, view, index, memory, verdict, &mut passed).await?,
        };
        if let Some(force) = force {
            in_force.insert(verdict.name(), force);
        }
    }
    withdraw_leftovers(context, view, index, &verdicts, &mut passed).await?;
    memory.sidecars.expect(expected(index, &in_force), now);
    memory
        .evictions
        .retain(|name, _| in_force.contains_key(name));
    for verdict in &verdicts {
        let force = in_force.get(&verdict.name());
        if let Some(force) = force {
            passed.written |= evict::policy(
                context,
                view,
                index,
                &mut memory.evictions,
                verdict,
                force,
                now,
            )
            .await;
        }
        passed.written |= tell::policy(context, view, index, memory, verdict, force).await?;
    }
    memory.told.retain(|uid, _| {
        let mut uids = view.policies.iter().filter_map(|policy| policy.uid());
        uids.any(|present| present == *uid)
    });
    let refused = in_force.values().any(|force| force.unclosed.is_some());
    let asked_again = refused.then(|| now + REFUSED);
    passed.again = again(memory, now).into_iter().chain(asked_again).min();
    Ok(passed)
}

/// Looks up the Secrets that the policies name, where what is known of them is too old or does not cover them.
async fn dereference(
    context: &Context,
    view: &View,
    memory: &mut Memory,
    now: Duration,
) -> Result<(), Error> {
    let environment = environment(&view.labels, &context.settings.default_environment);
    let wanted: BTreeSet<String> = view
        .policies
        .iter()
        .filter_map(|policy| resolve(policy, environment).ok())
        .flat_map(|effective| named(&effective).into_keys())
        .collect();
    if !context.settings.check_secrets {
        memory.secrets = wanted
            .into_iter()
            .map(|name| (name, SecretFacts::Unknown))
            .collect();
        return Ok(());
    }
    let is_known = wanted.iter().all(|name| memory.secrets.contains_key(name));
    let is_fresh = memory
        .looked_up
        .is_some_and(|at| now.saturating_sub(at) < believed(memory));
    if is_known && is_fresh {
        return Ok(());
    }
    memory.secrets = dereference::look_up(&context.client, &view.namespace, wanted).await?;
    memory.looked_up = Some(now);
    Ok(())
}

const fn believed(memory: &Memory) -> Duration {
    if memory.troubled {
        BELIEVED.1
    } else {
        BELIEVED.0
    }
}

fn judged(context: &Context, view: &View, index: &Index, memory: &Memory) -> Vec<Verdict> {
    let around = Circumstances {
        namespace: &view.namespace,
        labels: &view.labels,
        is_excluded: context
            .settings
            .excluded_namespaces
            .contains(&view.namespace),
        default_environment: &context.settings.default_environment,
        barred: &context.barred,
        secrets: &memory.secrets,
        index,
    };
    judge(&view.policies, &around)
}

/// Secrets of the operator's own come first: a pod that is injected finds what it mounts.
async fn make_credentials(
    context: &Context,
    view: &View,
    templates: &BTreeMap<String, InjectionTemplate>,
    memory: &mut Memory,
    verdicts: &[Verdict],
    now: Duration,
) -> Result<bool, Error> {
    let mut needs = Needs::default();
    for verdict in verdicts {
        if let (Some(effective), Some(template)) =
            (&verdict.effective, templates.get(&verdict.name()))
        {
            needs.add(effective, template);
        }
    }
    let (client, namespace) = (&context.client, &view.namespace);
    memory
        .credentials
        .see_to(client, namespace, needs, now)
        .await
}

/// The templates of the accepted policies, by name.
fn rendered(
    context: &Context,
    index: &Index,
    verdicts: &[Verdict],
) -> BTreeMap<String, InjectionTemplate> {
    let accepted = verdicts
        .iter()
        .filter_map(|verdict| Some((verdict, verdict.effective.as_ref()?)));
    accepted
        .map(|(verdict, effective)| {
            let name = verdict.name();
            let template = build::template(&build::Rendering {
                policy: &verdict.policy,
                effective,
                excluding: &verdict.excluding,
                previous: index.templates.get(&name),
                sidecar: &context.sidecar,
                serves: build::Serves::THIS_RELEASE,
            });
            (name, template)
        })
        .collect()
}

/// Publishes an accepted policy.
async fn put_in_force(
    context: &Context,
    index: &Index,
    verdict: &Verdict,
    (effective, template): (&EffectivePolicy, InjectionTemplate),
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

/// Leaves what is in force of a policy whose edit is refused, and withdraws every other that is not accepted.
async fn keep_or_withdraw(
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

/// By how many pods the policy's limits are divided now.
fn divisor(index: &Index, memory: &mut Memory, verdict: &Verdict, now: Duration) -> u32 {
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

/// Takes away what was made for policies that are gone.
async fn withdraw_leftovers(
    context: &Context,
    view: &View,
    index: &Index,
    verdicts: &[Verdict],
    passed: &mut Passed,
) -> Result<(), Error> {
    let present: BTreeSet<String> = verdicts.iter().map(Verdict::name).collect();
    for name in index.policies_with_objects() {
        if present.contains(&name) {
            continue;
        }
        context.metrics.forget(&view.namespace, &name);
        let gone = publish::withdraw(&context.client, &view.namespace, index, &name).await?;
        passed.leftovers |= !gone;
    }
    Ok(())
}

/// Which sidecars are to have which revision in force: those that say so themselves, whatever the policy selects by now.
fn expected(index: &Index, in_force: &BTreeMap<String, InForce>) -> Vec<Expected> {
    index
        .pods
        .values()
        // One that is still starting cannot be asked yet, and will have read what is there when it has.
        .filter(|pod| pod.counts() && pod.sidecar_started)
        .filter_map(|pod| {
            let policy = &pod.injected.as_ref()?.policy;
            Some(Expected {
                uid: pod.uid.clone(),
                pod: pod.name.clone(),
                address: super::programmed::address(pod)?,
                revision: in_force.get(policy)?.revision.clone(),
                poked: pod.poked.clone(),
            })
        })
        .collect()
}

/// When what is known of Secrets is too old, or a share may grow.
fn again(memory: &Memory, now: Duration) -> Option<Duration> {
    let secrets = memory
        .looked_up
        .filter(|_| !memory.secrets.is_empty())
        .map(|at| at + believed(memory));
    let shares = memory
        .divisors
        .values()
        .filter_map(|divisor| divisor.fewer_since)
        .map(|since| since + share::SETTLE);
    shares
        .chain(secrets)
        .chain(memory.credentials.again())
        .chain(memory.evictions.values().filter_map(Evictions::again))
        .min()
        .map(|at| at.max(now))
}

/// What a pass is counted as.
pub(super) const fn outcome(passed: &Result<Passed, Error>) -> Reconciled {
    match passed {
        Ok(Passed { written: true, .. }) => Reconciled::Changed,
        Ok(_) => Reconciled::Unchanged,
        Err(_) => Reconciled::Failed,
    }
}
