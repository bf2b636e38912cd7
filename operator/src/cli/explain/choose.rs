//! Which policy has the pods in question, which ones it beat, and what it comes to. Pure.

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::kinds::IsolationPolicy;
use bulkhead_crds::names::objects::{ENABLED, ENVIRONMENT, INJECTION};
use bulkhead_crds::{Severity, resolve};
use kube::ResourceExt as _;

use super::gather::{Gathered, Subject};
use crate::cli::Error;

/// What there is to show.
pub(super) struct Explained {
    /// What was asked about.
    pub object: String,
    /// Its namespace.
    pub namespace: String,
    /// The policy.
    pub policy: String,
    /// Where the environment comes from.
    pub environment_from: String,
    /// What it comes to, in each environment.
    pub environments: Vec<EffectivePolicy>,
    /// Policies that select the same pods and do not have them, with why.
    pub beaten: Vec<(String, String)>,
    /// What the reader should know before the fields.
    pub notes: Vec<String>,
}

/// Chooses and resolves.
///
/// # Errors
/// Where no policy is in force, with why.
pub(super) fn explained(
    gathered: Gathered,
    asked: &[String],
    default: &str,
) -> Result<Explained, Error> {
    let (environments, environment_from) = environments(&gathered, asked, default)?;
    let mut policies: Vec<&IsolationPolicy> = gathered.policies.iter().collect();
    policies.sort_by_key(|it| (it.creation_timestamp(), it.name_any()));
    let (object, chosen, beaten) = match &gathered.subject {
        Subject::Policy(name) => {
            let policy = policies.iter().find(|it| it.name_any() == *name);
            let policy =
                policy.ok_or_else(|| Error::Manifest(format!("there is no policy {name}")))?;
            (format!("ipol/{name}"), *policy, Vec::new())
        }
        Subject::Pods { object, labels, .. } => {
            policies.retain(|it| it.spec.selector.matches(labels));
            let (chosen, beaten) = oldest_sound(&policies, &environments[0], gathered.is_live);
            let chosen =
                chosen.ok_or_else(|| Error::Found(nobody(object, &gathered.namespace, &beaten)))?;
            (object.clone(), chosen, beaten)
        }
    };
    let resolved: Result<Vec<_>, _> = environments
        .iter()
        .map(|name| resolved(chosen, name))
        .collect();
    Ok(Explained {
        object,
        policy: chosen.name_any(),
        environment_from,
        environments: resolved.map_err(Error::Found)?,
        beaten,
        notes: notes(&gathered, chosen),
        namespace: gathered.namespace,
    })
}

fn environments(
    gathered: &Gathered,
    asked: &[String],
    default: &str,
) -> Result<(Vec<String>, String), Error> {
    if !asked.is_empty() {
        return Ok((asked.to_vec(), "the command line".to_owned()));
    }
    let labels = gathered.labels.as_ref();
    if let Some(name) = labels.and_then(|labels| labels.get(ENVIRONMENT)) {
        return Ok((
            vec![name.clone()],
            format!("the namespace's label {ENVIRONMENT}"),
        ));
    }
    if !gathered.is_live
        && let Subject::Policy(name) = &gathered.subject
    {
        let policy = gathered.policies.iter().find(|it| it.name_any() == *name);
        let overlays = policy
            .into_iter()
            .flat_map(|it| it.spec.environments.iter().flatten());
        let names: Vec<String> = overlays.map(|it| it.name.clone()).collect();
        if !names.is_empty() {
            return Ok((names, "the policy: all that it has".to_owned()));
        }
    }
    Ok((
        vec![default.to_owned()],
        "the default, for the namespace has no label that says".to_owned(),
    ))
}

type Beaten = Vec<(String, String)>;

fn oldest_sound<'a>(
    policies: &[&'a IsolationPolicy],
    environment: &str,
    is_live: bool,
) -> (Option<&'a IsolationPolicy>, Beaten) {
    let mut chosen: Option<&IsolationPolicy> = None;
    let mut beaten = Vec::new();
    for policy in policies {
        let why = match (resolved(policy, environment), chosen) {
            (Err(error), _) => format!("not in force: {error}"),
            (Ok(_), None) => {
                chosen = Some(policy);
                continue;
            }
            (Ok(_), Some(older))
                if is_live && older.creation_timestamp() != policy.creation_timestamp() =>
            {
                format!("younger than {}", older.name_any())
            }
            (Ok(_), Some(first)) => format!(
                "of the same age as {}, and behind it by name",
                first.name_any()
            ),
        };
        beaten.push((policy.name_any(), why));
    }
    (chosen, beaten)
}

fn nobody(object: &str, namespace: &str, beaten: &Beaten) -> String {
    if beaten.is_empty() {
        return format!("no policy of namespace {namespace} selects {object}");
    }
    let all: Vec<String> = beaten
        .iter()
        .map(|(name, why)| format!("{name} selects it and is {why}"))
        .collect();
    format!(
        "no policy of namespace {namespace} is in force for {object}: {}",
        all.join("; ")
    )
}

fn resolved(policy: &IsolationPolicy, environment: &str) -> Result<EffectivePolicy, String> {
    resolve(policy, environment).map_err(|findings| {
        let errors = findings.iter().filter(|it| it.severity == Severity::Error);
        let all: Vec<String> = errors
            .map(|it| format!("{}: {}", it.path, it.message))
            .collect();
        format!(
            "policy {} is not sound: {}",
            policy.name_any(),
            all.join("; ")
        )
    })
}

fn notes(gathered: &Gathered, policy: &IsolationPolicy) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(labels) = &gathered.labels
        && labels.get(INJECTION).map(String::as_str) != Some(ENABLED)
    {
        notes.push(format!(
            "no policy has an effect in {0}: kubectl label namespace {0} {INJECTION}={ENABLED}",
            gathered.namespace
        ));
    }
    if let Subject::Pods {
        injected, is_pod, ..
    } = &gathered.subject
    {
        match injected {
            Some(from) if from.split('@').next() == Some(&policy.name_any()) => {
                notes.push(format!("injected from {from}"))
            }
            Some(from) => notes.push(format!(
                "injected from {from}, another policy's: a rollout would mend it"
            )),
            None if *is_pod => notes.push(
                "the pod has no sidecar: a rollout of its workload would inject it".to_owned(),
            ),
            None => {}
        }
    }
    let status = policy.status.as_ref();
    for condition in status
        .and_then(|it| it.conditions.as_ref())
        .into_iter()
        .flatten()
    {
        notes.push(format!(
            "{}={:?} ({}): {}",
            condition.r#type, condition.status, condition.reason, condition.message
        ));
    }
    notes
}
