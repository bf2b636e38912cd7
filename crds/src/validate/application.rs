//! Environment variables of the application that set a timeout of their own: a second source of truth beside the policy.

use super::rule::{Complaints, complain};
use crate::effective::EffectivePolicy;
use crate::findings::{Finding, Severity};

/// Words of a variable's name that tie a timeout to a database or a WebSocket, and not to, say, a graceful shutdown.
const SUBJECTS: [&str; 24] = [
    "ACQUIRE",
    "CLICKHOUSE",
    "COMMAND",
    "CONN",
    "CONNECT",
    "CONNECTION",
    "DATABASE",
    "DB",
    "HANDSHAKE",
    "IDLE",
    "PG",
    "PING",
    "POOL",
    "POSTGRES",
    "POSTGRESQL",
    "QUERY",
    "REDIS",
    "SOCKET",
    "SQL",
    "SQLALCHEMY",
    "STATEMENT",
    "TRANSACTION",
    "WEBSOCKET",
    "WS",
];

/// Warns of each variable that sets a timeout of a database or a WebSocket: by its name (`PGCONNECT_TIMEOUT`, `DB_POOL_TIMEOUT`) or
/// in its value (`postgres://…?connect_timeout=5`, `-c statement_timeout=5s`). Values are not repeated: they may hold a password.
#[must_use]
pub fn application_env(variables: &[(&str, &str)]) -> Vec<Finding> {
    variables
        .iter()
        .filter_map(|(name, value)| Some((name, fault(name, value)?)))
        .map(|(name, message)| Finding {
            path: format!("env[{name}]"),
            reason: "ApplicationTimeout",
            message,
            severity: Severity::Warning,
        })
        .collect()
}

/// The same, of the variables that the policy itself injects.
pub(super) fn injected(policy: &EffectivePolicy) -> Complaints {
    policy
        .inject_env
        .iter()
        .filter_map(|(name, value)| {
            Some(complain(format!("inject.env.{name}"), fault(name, value)?))
        })
        .collect()
}

fn fault(name: &str, value: &str) -> Option<String> {
    let whose = if names_a_timeout(name) {
        "sets a timeout of its own"
    } else if carries_a_timeout(value) {
        "carries a timeout in its value"
    } else {
        return None;
    };
    Some(format!(
        "{whose}, beside the policy's, and the shorter one wins unseen: remove it, and let the policy's timeouts say it for each environment"
    ))
}

fn names_a_timeout(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // libpq's PGCONNECT_TIMEOUT has its prefix without a separator.
    let words = name
        .split(['_', '-', '.'])
        .flat_map(|word| [word, word.strip_prefix("PG").unwrap_or(word)]);
    name.contains("TIMEOUT") && words.into_iter().any(|word| SUBJECTS.contains(&word))
}

/// `…timeout…=` anywhere: in a connection string's query, in key and value pairs, or in `-c` options.
fn carries_a_timeout(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    value.match_indices("timeout").any(|(at, found)| {
        let rest = value[at + found.len()..]
            .trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        rest.trim_start().starts_with(['=', ':']) || rest.starts_with("%3d")
    })
}
