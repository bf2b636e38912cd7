//! A policy's status and news, from what a pass has found.

use std::sync::Arc;

use bulkhead_crds::conditions::ProgrammedReason;
use bulkhead_crds::kinds::{Advice, IsolationPolicy, IsolationPolicyStatus};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use super::error::Error;
use super::evict::Evictions;
use super::in_force::InForce;
use super::judge::Verdict;
use super::pass::Memory;
use super::programmed::{Force, Tally};
use super::status::{self, Finding, Observed};
use super::{Context, View, compliance, degraded, events, share};
use crate::index::Index;
use crate::metrics::Pods;

/// What came of telling.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Whether the status was written.
    pub(super) written: bool,
    /// In how many seconds there is something to write although nothing has happened.
    pub(super) again: Option<u64>,
}

/// Writes a policy's status and tells its news.
pub(super) async fn policy(
    context: &Context,
    view: &View,
    index: &Index,
    memory: &mut Memory,
    verdict: &Verdict,
    in_force: Option<&InForce>,
) -> Result<Told, Error> {
    let policy = &with_last_status(&verdict.policy, memory);
    let observed = observed(context, view, index, memory, verdict, in_force);
    let ratio = observed.tally.as_ref().and_then(compliance::ratio);
    match ratio {
        Some(ratio) => context
            .metrics
            .compliance(&view.namespace, &verdict.name(), ratio),
        None => context
            .metrics
            .forget_share(&view.namespace, &verdict.name()),
    }
    match &observed.tally {
        Some(tally) => context
            .metrics
            .pods(&view.namespace, &verdict.name(), pods(tally)),
        None => context
            .metrics
            .forget_pods(&view.namespace, &verdict.name()),
    }
    let now = Timestamp::now();
    let next = status::next(policy, &observed, now);
    let again = again(&observed, &next, now);
    let written = status::write(&context.client, policy, &next).await?;
    if written {
        publish_events(context, policy, &next).await;
        let uid = policy.uid().unwrap_or_default();
        memory.told.insert(uid, (policy.resource_version(), next));
    }
    Ok(Told { written, again })
}

/// In how many seconds an inventory that is out of date may be written.
fn again(observed: &Observed, next: &IsolationPolicyStatus, now: Timestamp) -> Option<u64> {
    let (tally, mode) = observed.tally.as_ref().zip(observed.mode)?;
    let due = compliance::next_inventory(tally, mode, next.inventory.as_ref(), now)?;
    u64::try_from(due.as_second() - now.as_second()).ok()
}

fn pods(tally: &Tally) -> Pods {
    Pods {
        eligible: tally.eligible,
        injected: tally.injected,
        in_sync: tally.in_sync,
        skipped: tally.skipped.values().sum(),
        uninjected: u32::try_from(tally.bare.len()).unwrap_or(u32::MAX),
    }
}

/// The policy with the status that was written upon this very version of it, if one was.
fn with_last_status(policy: &Arc<IsolationPolicy>, memory: &Memory) -> Arc<IsolationPolicy> {
    let told = policy.uid().and_then(|uid| memory.told.get(&uid));
    match told {
        Some((version, status)) if *version == policy.resource_version() => {
            let mut policy = IsolationPolicy::clone(policy);
            policy.status = Some(status.clone());
            Arc::new(policy)
        }
        _ => Arc::clone(policy),
    }
}

/// Events are for people; a status that is written must not wait or fail for them.
async fn publish_events(
    context: &Context,
    policy: &Arc<IsolationPolicy>,
    next: &IsolationPolicyStatus,
) {
    let reference = policy.object_ref(&());
    let of = |status: &IsolationPolicyStatus| status.conditions.clone().unwrap_or_default();
    let old = policy.status.as_ref().map(of).unwrap_or_default();
    for event in events::between(&old, &of(next)) {
        if let Err(error) = context.recorder.publish(&event, &reference).await {
            tracing::warn!(%error, policy = policy.name_any(), "an event could not be written");
        }
    }
}

fn observed(
    context: &Context,
    view: &View,
    index: &Index,
    memory: &Memory,
    verdict: &Verdict,
    in_force: Option<&InForce>,
) -> Observed {
    let accepted = Finding::accepted(verdict.reason, &verdict.message);
    let environment = verdict.environment.clone();
    let Some(in_force) = in_force else {
        let message = format!("the policy is not in force: {}", verdict.reason);
        return Observed {
            conditions: vec![
                accepted,
                Finding::programmed(ProgrammedReason::NotAccepted, &message),
            ],
            environment,
            tally: None,
            mode: None,
            advice: Vec::new(),
        };
    };
    let name = verdict.name();
    let force = in_force.force(verdict, &name, &view.namespace);
    let tally = force.tally(index.pods.values(), |pod| memory.sidecars.report(&pod.uid));
    let (reason, message) = programmed(verdict, &tally, &force);
    let mut exposed = degraded::of_pods(&in_force.effective, &force, index);
    exposed.extend(degraded::of_surroundings(
        &in_force.effective,
        &force,
        index,
        &context.settings.cluster_domain,
    ));
    exposed.extend(in_force.unclosed.as_deref().map(degraded::unclosed));
    let (degraded, ways) = degraded::condition(exposed);
    Observed {
        conditions: vec![
            accepted,
            Finding::programmed(reason, &message),
            Finding::degraded(degraded, &ways),
        ],
        environment,
        advice: advice(in_force, &tally, memory.evictions.get(&name)),
        tally: Some(tally),
        mode: Some(in_force.effective.mode),
    }
}

/// A policy whose edit is refused is not programmed, whatever of the last good one is.
fn programmed(verdict: &Verdict, tally: &Tally, force: &Force<'_>) -> (ProgrammedReason, String) {
    if verdict.reason.is_accepted() {
        return tally.programmed(force);
    }
    let message = format!(
        "this edit is not in force; the last good one is, in {} of {} pods, as revision {}",
        tally.in_sync, tally.eligible, force.revision
    );
    (ProgrammedReason::NotAccepted, message)
}

fn advice(in_force: &InForce, tally: &Tally, evictions: Option<&Evictions>) -> Vec<Advice> {
    let exceeded = share::exceeds(&in_force.effective, in_force.pods);
    let fewer = exceeded.into_iter().map(|database| Advice {
        reason: "FewerConnectionsThanPods".to_owned(),
        message: format!(
            "each of {} pods needs a connection, which together is more than maxConnections: raise it, or run fewer pods",
            in_force.pods
        ),
        path: Some(format!("spec.databases[{database}].pool.maxConnections")),
    });
    let quiet = tally.quiet.iter().map(|(database, pods)| Advice {
        reason: "NoTraffic".to_owned(),
        message: format!(
            "in {pods} of {} pods no client has come to this listener for ten minutes: if the application is at work there, it finds its database by a DNS of its own or by an address, and goes round the sidecar",
            tally.injected
        ),
        path: Some(format!("spec.databases[{database}].listen")),
    });
    let evictions = evictions.into_iter().flat_map(Evictions::advice);
    fewer.chain(quiet).chain(evictions.cloned()).collect()
}
