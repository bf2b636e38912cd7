//! `host` and `hosts` say the same thing in two ways: what an overlay writes takes the place of what the base has.

use crate::effective::{Origin, Origins};
use crate::kinds::IsolationPolicySpec;

/// Leaves each database one of the two. Where one layer has written both, that is an error of its own, and both stay.
pub(super) fn settle(spec: &mut IsolationPolicySpec, origins: &mut Origins) {
    for database in spec.databases.iter_mut().flatten() {
        let upstream = &mut database.upstream;
        if upstream.host.is_none() || upstream.hosts.is_none() {
            continue;
        }
        let path = |field: &str| format!("databases[{}].upstream.{field}", database.name);
        let overlaid = |field: &str| matches!(origins.of(&path(field)), Origin::Environment(_));
        let obsolete = match (overlaid("host"), overlaid("hosts")) {
            (true, false) => {
                upstream.hosts = None;
                path("hosts")
            }
            (false, true) => {
                upstream.host = None;
                path("host")
            }
            _ => continue,
        };
        origins.0.remove(&obsolete);
    }
}
