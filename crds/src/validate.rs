//! What a policy must and should be, beyond what its schema says: one table of rules, for the webhook, the command line and the sidecar
//! alike.
//!
//! A rule is a name, a severity and a pure function. Each complaint says which field, what is wrong, and how to mend it. Rules look at
//! the policy as it is written, at what one environment would get (the base and every overlay in turn), or at all environments beside
//! each other.

mod application;
mod audit;
mod databases;
mod environments;
mod events;
mod hosts;
mod identity;
mod injection;
mod listeners;
mod managed;
mod ports;
mod requests;
mod resume;
mod rule;
mod session;
mod table;
mod timeouts;
mod tokens;
mod web_sockets;
mod written;

pub use application::application_env;
pub use rule::Rule;
pub use table::RULES;

use crate::assemble::assemble;
use crate::effective::{EffectivePolicy, Origin};
use crate::findings::{Finding, Severity};
use crate::kinds::IsolationPolicy;
use rule::Check::{Across, Effective, Written};
use rule::{BASE, Complaint};

/// Judges a policy: as it is written, what the base and each environment would get, and the environments beside each other. Errors come
/// first. What the base is blamed for is not repeated for each environment.
#[must_use]
pub fn validate(policy: &IsolationPolicy) -> Vec<Finding> {
    let mut findings = written(policy);
    let broken = findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    let environments = policy
        .spec
        .environments
        .iter()
        .flatten()
        .map(|environment| environment.name.as_str());
    let mut resolved = Vec::new();
    for environment in std::iter::once(BASE).chain(environments) {
        match assemble(policy, environment) {
            Ok(effective) => resolved.push(effective),
            // What is written wrongly has been reported, and is why the parts do not fit.
            Err(_) if broken => {}
            Err(finding) => findings.push(finding),
        }
    }
    let base = resolved.first().map(judge).unwrap_or_default();
    for effective in &resolved {
        let judged = judge(effective);
        let news = judged
            .into_iter()
            .filter(|one| effective.environment == BASE || !base.contains(one));
        findings.extend(news.map(|one| one.finding(effective, true)));
    }
    for rule in RULES {
        if let Across(check) = rule.check {
            findings.extend(
                check(&resolved)
                    .into_iter()
                    .map(|complaint| rule.finding(complaint)),
            );
        }
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// What is wrong with a policy as it is written.
pub(crate) fn written(policy: &IsolationPolicy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RULES {
        if let Written(check) = rule.check {
            findings.extend(
                check(policy)
                    .into_iter()
                    .map(|complaint| rule.finding(complaint)),
            );
        }
    }
    findings
}

/// What is wrong with what one environment gets.
pub(crate) fn effective(policy: &EffectivePolicy) -> Vec<Finding> {
    judge(policy)
        .into_iter()
        .map(|one| one.finding(policy, false))
        .collect()
}

/// A complaint and the rule that it is of.
struct Judged {
    rule: &'static Rule,
    complaint: Complaint,
}

impl PartialEq for Judged {
    fn eq(&self, other: &Self) -> bool {
        (
            self.rule.reason,
            &self.complaint.path,
            &self.complaint.message,
        ) == (
            other.rule.reason,
            &other.complaint.path,
            &other.complaint.message,
        )
    }
}

fn judge(policy: &EffectivePolicy) -> Vec<Judged> {
    let mut judged = Vec::new();
    for rule in RULES {
        if let Effective(check) = rule.check {
            judged.extend(
                check(policy)
                    .into_iter()
                    .map(|complaint| Judged { rule, complaint }),
            );
        }
    }
    judged
}

impl Judged {
    /// Points at the overlay where that wrote the field. With `name_environment`, a complaint about a field of the base says in which
    /// environment it holds.
    fn finding(self, policy: &EffectivePolicy, name_environment: bool) -> Finding {
        let Self {
            rule,
            mut complaint,
        } = self;
        let by_overlay = matches!(
            policy.origins.around(&complaint.path),
            Origin::Environment(_)
        );
        if by_overlay {
            complaint.path = format!("environments[{}].{}", policy.environment, complaint.path);
        } else if name_environment && policy.environment != BASE {
            complaint.message = format!(
                "{} (in environment {})",
                complaint.message, policy.environment
            );
        }
        rule.finding(complaint)
    }
}
