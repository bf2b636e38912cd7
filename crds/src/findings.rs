//! What judging a policy comes to: one thing that is wrong or unwise, and how grave it is.

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
    /// The field (`spec.databases[main].timeouts.statement`, or `spec.environments[staging].databases[main]…` where an overlay wrote it).
    pub path: String,
    /// The rule that found it, in one CamelCase word.
    pub reason: &'static str,
    /// What is wrong, and how to mend it.
    pub message: String,
    /// How grave it is.
    pub severity: Severity,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(
            f,
            "{severity}: {}: {} ({})",
            self.path, self.message, self.reason
        )
    }
}
