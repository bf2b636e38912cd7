//! From manifests to findings: each policy judged by itself, policies beside each other, and what is around them.

use std::collections::BTreeMap;

use bulkhead_crds::kinds::IsolationPolicy;
use bulkhead_crds::names::objects::{ENABLED, ENVIRONMENT, INJECTION};
use bulkhead_crds::{LoadError, Severity, load, resolve, revocations, validate};
use k8s_openapi::jiff;

use super::around;
use super::report::Located;
use crate::cli::manifests::{Manifest, Problem};

/// What the files do not say themselves.
pub(super) struct Circumstances<'a> {
    /// The namespace of objects that name none.
    pub namespace: &'a str,
    /// The environment of namespaces that the files do not have.
    pub environment: &'a str,
    /// The cluster's DNS domain.
    pub cluster_domain: &'a str,
}

/// A policy of the files that can be read.
pub(super) struct Policy<'a> {
    pub manifest: &'a Manifest,
    pub namespace: &'a str,
    pub policy: IsolationPolicy,
}

/// Every finding, by file and line.
pub(super) fn all(
    manifests: &[Manifest],
    problems: &[Problem],
    circumstances: &Circumstances<'_>,
) -> Vec<Located> {
    let mut findings: Vec<Located> = problems.iter().map(unreadable).collect();
    let mut policies = Vec::new();
    for manifest in manifests
        .iter()
        .filter(|it| it.is("bulkhead.dev", "IsolationPolicy"))
    {
        let (judged, policy) = judge(manifest, circumstances);
        findings.extend(judged);
        policies.extend(policy);
    }
    for manifest in manifests
        .iter()
        .filter(|it| it.is("bulkhead.dev", "UserRevocation"))
    {
        findings.extend(revocation(manifest, circumstances));
    }
    for policy in &policies {
        findings.extend(namespace(policy, manifests, circumstances));
        let environment = environment(policy, manifests, circumstances);
        if let Ok(effective) = resolve(&policy.policy, environment) {
            findings.extend(around::policy(policy, &effective, manifests, circumstances));
        }
    }
    findings.extend(conflicts(&policies));
    findings.sort_by(|a, b| (&a.file, a.line, a.severity).cmp(&(&b.file, b.line, b.severity)));
    findings.dedup();
    findings
}

/// A finding about a field of a manifest.
pub(super) fn located(
    manifest: &Manifest,
    circumstances: &Circumstances<'_>,
    (severity, reason): (Severity, &str),
    path: &str,
    message: String,
) -> Located {
    let namespace = manifest.namespace(circumstances.namespace);
    Located {
        file: manifest.file.clone(),
        line: manifest.line_of(path),
        object: format!("{} {namespace}/{}", manifest.kind(), manifest.name()),
        path: path.to_owned(),
        severity,
        reason: reason.to_owned(),
        message,
    }
}

fn unreadable(problem: &Problem) -> Located {
    Located {
        file: problem.file.clone(),
        line: problem.line,
        object: String::new(),
        path: String::new(),
        severity: Severity::Error,
        reason: "Unreadable".to_owned(),
        message: problem.message.clone(),
    }
}

/// A file that is applied to a cluster needs no moment: the API server knows when it was.
fn revocation(manifest: &Manifest, circumstances: &Circumstances<'_>) -> Vec<Located> {
    let tell = |severity, reason: &str, path: &str, message| {
        located(manifest, circumstances, (severity, reason), path, message)
    };
    match load::revocations(&manifest.own_text()) {
        Ok(all) => {
            let now = jiff::Timestamp::now().into();
            let found = all.iter().flat_map(|one| revocations::judge(one, now));
            found
                .filter(|it| it.reason != revocations::NO_MOMENT)
                .map(|it| tell(it.severity, it.reason, &it.path, it.message))
                .collect()
        }
        Err(LoadError::Policy(problems)) => {
            let told = problems.into_iter();
            let path = |path: &str| path.rsplit(": ").next().unwrap_or_default().to_owned();
            told.map(|it| tell(Severity::Error, "Malformed", &path(&it.path), it.message))
                .collect()
        }
        Err(error) => vec![tell(Severity::Error, "Unreadable", "", error.to_string())],
    }
}

fn judge<'a>(
    manifest: &'a Manifest,
    circumstances: &Circumstances<'a>,
) -> (Vec<Located>, Option<Policy<'a>>) {
    let tell = |severity, reason: &str, path: &str, message| {
        located(manifest, circumstances, (severity, reason), path, message)
    };
    match load(&manifest.own_text()) {
        Ok(policy) => {
            let findings = validate(&policy)
                .into_iter()
                .map(|it| tell(it.severity, it.reason, &it.path, it.message))
                .collect();
            let namespace = manifest.namespace(circumstances.namespace);
            (
                findings,
                Some(Policy {
                    manifest,
                    namespace,
                    policy,
                }),
            )
        }
        Err(LoadError::Policy(problems)) => {
            let told = problems.into_iter();
            (
                told.map(|it| tell(Severity::Error, "Malformed", &it.path, it.message))
                    .collect(),
                None,
            )
        }
        Err(error) => (
            vec![tell(Severity::Error, "Malformed", "", error.to_string())],
            None,
        ),
    }
}

/// The labels of a policy's namespace, where the files have it.
fn labels<'a>(
    policy: &Policy<'_>,
    manifests: &'a [Manifest],
) -> Option<(&'a Manifest, BTreeMap<&'a str, &'a str>)> {
    let manifest = manifests
        .iter()
        .find(|it| it.is("", "Namespace") && it.name() == policy.namespace)?;
    let labels = manifest
        .object
        .pointer("/metadata/labels")
        .and_then(|it| it.as_object());
    let labels = labels.into_iter().flatten();
    let texts = labels.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    Some((manifest, texts.collect()))
}

fn environment<'a>(
    policy: &Policy<'_>,
    manifests: &'a [Manifest],
    circumstances: &Circumstances<'a>,
) -> &'a str {
    let labels = labels(policy, manifests).map(|(_, labels)| labels);
    let named = labels.and_then(|labels| labels.get(ENVIRONMENT).copied());
    named.unwrap_or(circumstances.environment)
}

fn namespace(
    policy: &Policy<'_>,
    manifests: &[Manifest],
    circumstances: &Circumstances<'_>,
) -> Option<Located> {
    let (manifest, labels) = labels(policy, manifests)?;
    (labels.get(INJECTION) != Some(&ENABLED)).then(|| {
        located(
            manifest,
            circumstances,
            (Severity::Warning, "NamespaceNotEnabled"),
            "metadata.labels",
            format!(
                "has no label `{INJECTION}: {ENABLED}`, so that policy {} has no effect in it",
                policy.manifest.name()
            ),
        )
    })
}

/// Policies of one namespace with the very same selector: one of them has no pod.
fn conflicts(policies: &[Policy<'_>]) -> Vec<Located> {
    let mut findings = Vec::new();
    for (index, later) in policies.iter().enumerate() {
        let selector = later.policy.spec.selector.normalized();
        let same = policies[..index].iter().find(|earlier| {
            earlier.namespace == later.namespace
                && earlier.manifest.name() != later.manifest.name()
                && earlier.policy.spec.selector.normalized() == selector
        });
        if let Some(earlier) = same {
            let path = "spec.selector";
            findings.push(Located {
                file: later.manifest.file.clone(),
                line: later.manifest.line_of(path),
                object: format!("IsolationPolicy {}/{}", later.namespace, later.manifest.name()),
                path: path.to_owned(),
                severity: Severity::Error,
                reason: "Conflicted".to_owned(),
                message: format!(
                    "policy {} has the same selector: the older of the two has the pods, and the other none",
                    earlier.manifest.name()
                ),
            });
        }
    }
    findings
}
