//! What a policy must and should be, beyond what its schema says.

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy cannot be put in force.
    Error,
    /// Legal, and unwise.
    Warning,
}

/// One thing that is wrong or unwise in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The field (`spec.databases[main].timeouts.statement`).
    pub path: String,
    /// The rule that found it, in one CamelCase word.
    pub reason: &'static str,
    /// What is wrong, and how to mend it.
    pub message: String,
    /// How grave it is.
    pub severity: Severity,
}

pub(crate) fn structure(_: &crate::IsolationPolicy) -> Vec<Finding> {
    Vec::new()
}

pub(crate) fn effective(_: &crate::effective::EffectivePolicy) -> Vec<Finding> {
    Vec::new()
}
