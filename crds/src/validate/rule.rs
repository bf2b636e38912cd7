//! What a rule is, what it looks at, and how it complains.

use crate::effective::{EffectiveDatabase, EffectivePolicy, EffectiveWebSocket};
use crate::findings::{Finding, Severity};
use crate::kinds::IsolationPolicy;

/// The name under which the base is resolved; no environment can have it.
pub(super) const BASE: &str = "";

/// One rule of the table.
pub struct Rule {
    /// What it is called, in one CamelCase word.
    pub reason: &'static str,
    /// How grave its findings are.
    pub severity: Severity,
    pub(super) check: Check,
}

/// What a rule looks at.
pub(super) enum Check {
    /// The policy as it is written.
    Written(fn(&IsolationPolicy) -> Complaints),
    /// What one environment would get.
    Effective(fn(&EffectivePolicy) -> Complaints),
    /// What all environments would get, the base first.
    Across(fn(&[EffectivePolicy]) -> Complaints),
}

/// A field, relative to the spec, and what is wrong with it.
pub(super) struct Complaint {
    pub(super) path: String,
    pub(super) message: String,
}

pub(super) type Complaints = Vec<Complaint>;

impl Rule {
    pub(super) fn finding(&self, complaint: Complaint) -> Finding {
        let dot = if complaint.path.is_empty() { "" } else { "." };
        Finding {
            path: format!("spec{dot}{}", complaint.path),
            reason: self.reason,
            message: complaint.message,
            severity: self.severity,
        }
    }
}

/// A complaint.
pub(super) fn complain(path: impl Into<String>, message: impl Into<String>) -> Complaint {
    Complaint {
        path: path.into(),
        message: message.into(),
    }
}

/// The path of a database's field.
pub(super) fn database(name: &str, field: &str) -> String {
    format!("databases[{name}].{field}")
}

/// The path of a WebSocket listener's field.
pub(super) fn web_socket(name: &str, field: &str) -> String {
    format!("webSockets[{name}].{field}")
}

/// What `check` has to say of each database.
pub(super) fn per_database(
    policy: &EffectivePolicy,
    check: impl Fn(&EffectiveDatabase) -> Option<Complaint>,
) -> Complaints {
    policy.databases.iter().filter_map(check).collect()
}

/// What `check` has to say of each WebSocket listener.
pub(super) fn per_web_socket(
    policy: &EffectivePolicy,
    check: impl Fn(&EffectiveWebSocket) -> Complaints,
) -> Complaints {
    policy.web_sockets.iter().flat_map(check).collect()
}
