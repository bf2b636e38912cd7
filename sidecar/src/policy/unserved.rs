//! What a policy may ask for and this version of the sidecar does not do. Pure.
//!
//! A promise about isolation that were not kept would be an error, and there is none; a listener that is not opened is a warning, because
//! its traffic then goes where it went before.

use bulkhead_crds::effective::{EffectiveDatabase, EffectivePolicy};
use bulkhead_crds::kinds::Protocol;

use super::diagnostic::{Diagnostic, Severity};

/// What of this policy is not served.
#[must_use]
pub fn unserved(policy: &EffectivePolicy) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut add = |severity, path: String, what: &str| {
        found.push(Diagnostic {
            severity,
            path,
            reason: "NotServed".to_owned(),
            message: format!("{what}: this version of the sidecar does not do that"),
        });
    };
    for database in &policy.databases {
        for (severity, field, what) in of_database(database) {
            add(
                severity,
                format!("databases[{}]{field}", database.name),
                what,
            );
        }
    }
    found
}

/// Whether listeners are opened for a protocol.
#[must_use]
pub const fn is_served(protocol: Protocol) -> bool {
    match protocol {
        Protocol::PostgreSQL | Protocol::Redis => true,
        Protocol::ClickHouse => false,
    }
}

fn of_database(database: &EffectiveDatabase) -> Vec<(Severity, &'static str, &'static str)> {
    let mut found = Vec::new();
    if !is_served(database.protocol) {
        let what = "asks for a protocol whose listener is not opened";
        found.push((Severity::Warning, ".protocol", what));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::{POLICY, database, policy};

    #[test]
    fn an_ordinary_policy_is_served_whole() {
        let resolved = bulkhead_crds::resolve(&bulkhead_crds::load(POLICY).unwrap(), "staging");
        assert_eq!(unserved(&resolved.unwrap()), []);
    }

    #[test]
    fn a_listener_that_is_not_opened_is_a_warning() {
        let mut redis = database("cache", 6379);
        redis.protocol = Protocol::ClickHouse;
        let found = unserved(&policy(vec![redis]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Warning);
        assert_eq!(found[0].path, "databases[cache].protocol");
    }
}
