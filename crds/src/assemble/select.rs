//! Which overlay an environment gets.

use crate::findings::{Finding, Severity};
use crate::kinds::{Environment, IsolationPolicy};
use crate::load::nearest;

/// The overlay of that name.
pub(super) fn overlay<'a>(policy: &'a IsolationPolicy, name: &str) -> Option<&'a Environment> {
    policy
        .spec
        .environments
        .iter()
        .flatten()
        .find(|environment| environment.name == name)
}

/// A warning where a policy has overlays and none for this environment: it gets the base, which may be a slip of the pen.
#[must_use]
pub fn unknown_environment(policy: &IsolationPolicy, name: &str) -> Option<Finding> {
    let known: Vec<&str> = policy
        .spec
        .environments
        .iter()
        .flatten()
        .map(|environment| environment.name.as_str())
        .collect();
    if known.is_empty() || known.contains(&name) {
        return None;
    }
    let message = match nearest(name, known.iter().copied()) {
        Some(meant) => format!(
            "the policy has no environment `{name}`, so the base holds: did you mean `{meant}`?"
        ),
        None => format!(
            "the policy has no environment `{name}`, so the base holds; it has {}",
            known.join(", ")
        ),
    };
    Some(Finding {
        path: "spec.environments".to_owned(),
        reason: "UnknownEnvironment",
        message,
        severity: Severity::Warning,
    })
}
