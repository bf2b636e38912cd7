//! Which policies of a namespace are in force, and why the others are not. Pure: no client, no clock.
//!
//! The oldest policy wins, by creation and then by name, so that every replica and every restart decides alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use bulkhead_crds::conditions::AcceptedReason;
use bulkhead_crds::kinds::{IsolationPolicy, Selector};
use bulkhead_crds::names::objects::{ALLOW_POLICY, ENABLED, ENVIRONMENT, INJECTION};
use bulkhead_crds::{EffectivePolicy, Finding, resolve};
use kube::ResourceExt as _;

use super::dereference::{SecretFacts, Secrets, named};
use super::upstreams::{Barred, barred};
use crate::index::Index;

/// Names of pods and findings that a message lists; the rest are counted.
const LISTED: usize = 5;

/// What policies of a namespace are judged by, beside themselves.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The namespace's name.
    pub namespace: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Whether policies never have an effect in it: the operator's own, or one of the system's.
    pub is_excluded: bool,
    /// The environment of a namespace without a label.
    pub default_environment: &'a str,
    /// What upstreams may not be.
    pub barred: &'a Barred,
    /// The Secrets that the policies name.
    pub secrets: &'a Secrets,
    /// The namespace's objects.
    pub index: &'a Index,
}

/// What comes of a policy.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The policy.
    pub policy: Arc<IsolationPolicy>,
    /// The environment that it was judged for.
    pub environment: String,
    /// Whether it is in force, and why not.
    pub reason: AcceptedReason,
    /// The same for people.
    pub message: String,
    /// What it comes to, where it is in force.
    pub effective: Option<EffectivePolicy>,
    /// The selectors of all older policies in force, whose pods it does not get.
    pub excluding: Vec<Selector>,
}

impl Verdict {
    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> String {
        self.policy.name_any()
    }

    /// Whether what was in force before stays so: an edit that is refused takes no pod's protection away. Where policies have no effect at
    /// all, or an older one has the pods, nothing stays.
    #[must_use]
    pub const fn keeps(&self) -> bool {
        matches!(
            self.reason,
            AcceptedReason::Invalid
                | AcceptedReason::UpstreamNotAllowed
                | AcceptedReason::SecretMissing
                | AcceptedReason::SecretNotAllowed
                | AcceptedReason::NeedsDistinctPorts
        )
    }
}

/// The environment of a namespace.
#[must_use]
pub fn environment<'a>(labels: &'a BTreeMap<String, String>, default: &'a str) -> &'a str {
    match labels.get(ENVIRONMENT) {
        Some(name) if !name.is_empty() => name,
        _ => default,
    }
}

/// Judges the policies of a namespace, the oldest first.
#[must_use]
pub fn judge(policies: &[Arc<IsolationPolicy>], around: &Circumstances<'_>) -> Vec<Verdict> {
    let mut policies = policies.to_vec();
    policies.sort_by_cached_key(|policy| (policy.creation_timestamp(), policy.name_any()));
    let mut older: Vec<(String, Selector)> = Vec::new();
    let mut verdicts = Vec::new();
    for policy in policies {
        let verdict = one(policy, around, &older);
        if let Some(selector) = in_force(&verdict, around.index) {
            older.push((verdict.name(), selector));
        }
        verdicts.push(verdict);
    }
    verdicts
}

/// The selector by which a policy has its pods; none where it has none.
fn in_force(verdict: &Verdict, index: &Index) -> Option<Selector> {
    if verdict.reason.is_accepted() {
        return Some(verdict.policy.spec.selector.clone());
    }
    let template = index.templates.get(&verdict.name());
    template
        .filter(|_| verdict.keeps())
        .map(|template| template.spec.selector.clone())
}

fn one(
    policy: Arc<IsolationPolicy>,
    around: &Circumstances<'_>,
    older: &[(String, Selector)],
) -> Verdict {
    let environment = environment(around.labels, around.default_environment);
    let judged = admissible(around)
        .and_then(|()| sound(&policy, environment))
        .and_then(|effective| {
            unrivalled(&policy, older)?;
            reachable(&effective, around)?;
            Ok(effective)
        });
    let (reason, message, effective) = match judged {
        Ok(effective) => {
            let (reason, message) = shared_pods(&policy, around.index, older, environment);
            (reason, message, Some(effective))
        }
        Err((reason, message)) => (reason, message, None),
    };
    Verdict {
        environment: environment.to_owned(),
        reason,
        message,
        effective,
        excluding: older.iter().map(|(_, selector)| selector.clone()).collect(),
        policy,
    }
}

type Refused = (AcceptedReason, String);

/// Whether policies have an effect in this namespace.
fn admissible(around: &Circumstances<'_>) -> Result<(), Refused> {
    if around.is_excluded {
        return Err((
            AcceptedReason::NamespaceExcluded,
            format!(
                "policies have no effect in namespace {}, which is the operator's or the system's: move the policy and its application to a namespace of their own",
                around.namespace
            ),
        ));
    }
    if around.labels.get(INJECTION).map(String::as_str) == Some(ENABLED) {
        return Ok(());
    }
    Err((
        AcceptedReason::NamespaceNotEnabled,
        format!(
            "policies have an effect only in namespaces that are labelled for it: kubectl label namespace {} {INJECTION}={ENABLED}",
            around.namespace
        ),
    ))
}

/// What the webhook would have refused, and what got past it.
fn sound(policy: &IsolationPolicy, environment: &str) -> Result<EffectivePolicy, Refused> {
    resolve(policy, environment).map_err(|findings| {
        let all: Vec<String> = findings.iter().map(told).collect();
        (AcceptedReason::Invalid, listed(&all, "; "))
    })
}

fn told(finding: &Finding) -> String {
    format!("{}: {}", finding.path, finding.message)
}

/// Whether no older policy has the very same selector.
fn unrivalled(policy: &IsolationPolicy, older: &[(String, Selector)]) -> Result<(), Refused> {
    let own = policy.spec.selector.normalized();
    let rival = older
        .iter()
        .find(|(_, selector)| selector.normalized() == own);
    match rival {
        None => Ok(()),
        Some((name, _)) => Err((
            AcceptedReason::Conflicted,
            format!(
                "policy {name} is older and has the same selector, so it has the pods: delete one of the two, or narrow this selector"
            ),
        )),
    }
}

/// Whether what the policy refers to is there, and may be used by it.
fn reachable(policy: &EffectivePolicy, around: &Circumstances<'_>) -> Result<(), Refused> {
    let found = barred(policy, around.barred);
    if !found.is_empty() {
        return Err((AcceptedReason::UpstreamNotAllowed, listed(&found, "; ")));
    }
    let mut missing = Vec::new();
    let mut barred = Vec::new();
    for (name, paths) in named(policy) {
        let paths = paths.into_iter().collect::<Vec<_>>().join(" and ");
        match around.secrets.get(&name) {
            Some(SecretFacts::Missing) => missing.push(format!(
                "{paths} names Secret {name}, which namespace {} does not have: create it",
                around.namespace
            )),
            Some(facts) if !facts.allows(&policy.name) => barred.push(format!(
                "{paths} names Secret {name}, which does not allow it: kubectl annotate secret {name} -n {} {ALLOW_POLICY}={}",
                around.namespace, policy.name
            )),
            _ => {}
        }
    }
    if !missing.is_empty() {
        return Err((AcceptedReason::SecretMissing, listed(&missing, "; ")));
    }
    if !barred.is_empty() {
        return Err((AcceptedReason::SecretNotAllowed, listed(&barred, "; ")));
    }
    distinct_ports(policy, around.index)
}

/// Pods with IPv6 addresses alone have one loopback address, so listeners there are told apart by their ports.
fn distinct_ports(policy: &EffectivePolicy, index: &Index) -> Result<(), Refused> {
    let selected = index.pods.values().filter(|pod| pod.counts());
    let mut addressed = selected.filter(|pod| !pod.addresses.is_empty()).peekable();
    let only_v6 = addressed.peek().is_some()
        && addressed.all(|pod| pod.addresses.iter().all(std::net::IpAddr::is_ipv6));
    if !only_v6 {
        return Ok(());
    }
    let mut ports = BTreeMap::new();
    for database in &policy.databases {
        if let Some(other) = ports.insert(database.listen.port, &database.name) {
            return Err((
                AcceptedReason::NeedsDistinctPorts,
                format!(
                    "the pods here have IPv6 addresses alone, and so one loopback address: give databases {other} and {} different listen.port",
                    database.name
                ),
            ));
        }
    }
    Ok(())
}

/// Whether a living pod is an older policy's too.
fn shared_pods(
    policy: &IsolationPolicy,
    index: &Index,
    older: &[(String, Selector)],
    environment: &str,
) -> (AcceptedReason, String) {
    let own = &policy.spec.selector;
    let mut shared: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for pod in index.pods.values().filter(|pod| pod.counts()) {
        let winner = older
            .iter()
            .find(|(_, selector)| own.matches(&pod.labels) && selector.matches(&pod.labels));
        if let Some((name, _)) = winner {
            shared.entry(name).or_default().push(pod.name.clone());
        }
    }
    if shared.is_empty() {
        return (
            AcceptedReason::Accepted,
            format!("in force, resolved for environment {environment}"),
        );
    }
    let told: Vec<String> = shared
        .iter()
        .map(|(name, pods)| format!("policy {name} is older and has {}", listed(pods, ", ")))
        .collect();
    (
        AcceptedReason::PartiallyConflicted,
        format!(
            "in force for the pods that no older policy selects; {}: narrow one of the selectors",
            told.join("; ")
        ),
    )
}

/// The first few, and how many more there are.
pub(super) fn listed(all: &[String], between: &str) -> String {
    let shown = all.iter().take(LISTED).cloned().collect::<Vec<_>>();
    let mut text = shown.join(between);
    if all.len() > LISTED {
        text.push_str(&format!("{between}and {} more", all.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests;
