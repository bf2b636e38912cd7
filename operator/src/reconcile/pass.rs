//! One pass over a namespace: what its policies come to is found, written, and told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_crds::conditions::AcceptedReason;
use bulkhead_crds::kinds::{InjectionTemplate, IsolationPolicyStatus, UserRevocationStatus};
use bulkhead_crds::names::objects;
use bulkhead_crds::resolve;
use kube::ResourceExt as _;

use super::credentials::{Needs, SeenTo};
use super::dereference::{self, SecretFacts, Secrets, named};
use super::error::Error;
use super::evict::Evictions;
use super::in_force::{InForce, divisor, keep_or_withdraw, put_in_force};
use super::judge::{Circumstances, Verdict, environment, judge};
use super::revocations::Lists;
use super::share::{self, Divisor};
use super::sidecars::{Expected, Sidecars};
use super::{Context, View, evict, publish, revoke, tell};
use crate::build;
use crate::index::Index;
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
    /// What the limits of each policy are divided by.
    pub(super) divisors: BTreeMap<String, Divisor>,
    /// What was written last, by the policy's uid, with the version of the policy that it was written upon: the watch may not have
    /// brought it back yet.
    pub(super) told: BTreeMap<String, (Option<String>, IsolationPolicyStatus)>,
    /// The lists of revocations.
    pub(super) lists: Lists,
    /// What was written last of revocations, as `told` of policies.
    pub(super) told_revocations: BTreeMap<String, (Option<String>, UserRevocationStatus)>,
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
    // Who is cut off waits for no policy.
    let revoked = revoke::put_in_force(context, view, index, memory, now, &mut passed).await?;
    let list = revoked.as_ref().map(revoke::wanted).transpose()?.flatten();
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
                let accepted = (accepted.0, accepted.1, list.as_deref());
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
        let told = tell::policy(context, view, index, memory, verdict, force).await?;
        passed.written |= told.written;
        let wait = told.again.map(|seconds| now + Duration::from_secs(seconds));
        passed.again = passed.again.into_iter().chain(wait).min();
    }
    memory.told.retain(|uid, _| {
        let mut uids = view.policies.iter().filter_map(|policy| policy.uid());
        uids.any(|present| present == *uid)
    });
    if let Some(listing) = &revoked {
        revoke::tell(context, view, index, memory, listing, &mut passed).await?;
    }
    let refused = in_force.values().any(|force| force.unclosed.is_some());
    let asked_again = refused.then(|| now + REFUSED);
    let over = revoked.as_ref().and_then(|it| revoke::again(it, now));
    let again = again(memory, now).into_iter();
    let again = again.chain(asked_again).chain(over);
    passed.again = again.chain(passed.again).min();
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
                revision: revision(index, in_force, policy)?,
                poked: pod.poked.clone(),
            })
        })
        .collect()
}

/// What is in force of a policy; where nothing is any more, what its pods still have, which are told all the same who is cut off.
fn revision(index: &Index, in_force: &BTreeMap<String, InForce>, policy: &str) -> Option<String> {
    if let Some(force) = in_force.get(policy) {
        return Some(force.revision.clone());
    }
    publish::revision_of(index.snapshots.get(&objects::snapshot(policy))?)
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
