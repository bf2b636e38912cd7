//! Rules about the policy as it is written: names, overlays, the selector.

use std::collections::BTreeSet;

use super::rule::{Complaint, Complaints, complain};
use crate::kinds::{Environment, IsolationPolicy};
use crate::load::nearest;

/// Entries of a list are told apart by their names.
pub(super) fn duplicate_name(policy: &IsolationPolicy) -> Complaints {
    let spec = &policy.spec;
    let mut complaints = Vec::new();
    let mut list = |path: String, names: Vec<&str>| {
        let mut seen = BTreeSet::new();
        let again: BTreeSet<&str> = names
            .into_iter()
            .filter(|name| !seen.insert(*name))
            .collect();
        complaints.extend(again.into_iter().map(|name| {
            complain(
                format!("{path}[{name}]"),
                format!("`{name}` is there twice: merge the entries, or rename one"),
            )
        }));
    };
    list(
        "databases".to_owned(),
        names(&spec.databases, |entry| &entry.name),
    );
    list(
        "webSockets".to_owned(),
        names(&spec.web_sockets, |entry| &entry.name),
    );
    list(
        "environments".to_owned(),
        names(&spec.environments, |entry| &entry.name),
    );
    for Environment {
        name,
        databases,
        web_sockets,
        ..
    } in spec.environments.iter().flatten()
    {
        list(
            format!("environments[{name}].databases"),
            names(databases, |entry| &entry.name),
        );
        list(
            format!("environments[{name}].webSockets"),
            names(web_sockets, |entry| &entry.name),
        );
    }
    complaints
}

/// An overlay changes what the base has; it adds nothing.
pub(super) fn unknown_overlay(policy: &IsolationPolicy) -> Complaints {
    let databases = names(&policy.spec.databases, |entry| &entry.name);
    let sockets = names(&policy.spec.web_sockets, |entry| &entry.name);
    let mut complaints = Vec::new();
    for environment in policy.spec.environments.iter().flatten() {
        for name in names(&environment.databases, |entry| &entry.name) {
            complaints.extend(unknown(&environment.name, "databases", name, &databases));
        }
        for name in names(&environment.web_sockets, |entry| &entry.name) {
            complaints.extend(unknown(&environment.name, "webSockets", name, &sockets));
        }
    }
    complaints
}

fn unknown(environment: &str, list: &str, name: &str, known: &[&str]) -> Option<Complaint> {
    if known.contains(&name) {
        return None;
    }
    let hint = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => format!("the base has no {list}"),
        None => format!("the base has {}", known.join(", ")),
    };
    Some(complain(
        format!("environments[{environment}].{list}[{name}]"),
        format!("overrides `{name}`, which spec.{list} does not have; {hint}"),
    ))
}

/// A selector that selects everything is more often forgotten than meant.
pub(super) fn empty_selector(policy: &IsolationPolicy) -> Complaints {
    let selector = &policy.spec.selector;
    let empty = selector
        .match_labels
        .as_ref()
        .is_none_or(|labels| labels.is_empty())
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty);
    let message = "is empty and selects every pod of the namespace: name a label of the application in matchLabels";
    empty
        .then(|| complain("selector", message))
        .into_iter()
        .collect()
}

/// A policy without a listener is no protection.
pub(super) fn guards_nothing(policy: &IsolationPolicy) -> Complaints {
    let empty = policy.spec.databases.as_ref().is_none_or(Vec::is_empty)
        && policy.spec.web_sockets.as_ref().is_none_or(Vec::is_empty);
    let message = "has neither databases nor webSockets, so nothing passes through the sidecar: add one of them";
    empty.then(|| complain("", message)).into_iter().collect()
}

fn names<T>(list: &Option<Vec<T>>, name: impl Fn(&T) -> &String) -> Vec<&str> {
    list.iter()
        .flatten()
        .map(|entry| name(entry).as_str())
        .collect()
}
