//! What a running sidecar cannot change: its listeners, and its audit trail, which is on a volume of the pod. A new policy is taken over around them, and what it wanted of them
//! is reported until a restart or until the policy changes back. Pure.

use std::collections::BTreeMap;

use bulkhead_crds::effective::{EffectiveDatabase, EffectiveListen, EffectivePolicy, Origin};
use serde::{Deserialize, Serialize};

/// A change that waits for a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRestart {
    /// The field (`databases[main].listen.port`).
    pub path: String,
    /// What holds now.
    pub running: String,
    /// What the policy says.
    pub wanted: String,
}

/// `wanted` with the listeners of `running`, and what of `wanted` waits for a restart.
///
/// The databases of the result are those of `running`, in that order: one that was removed goes on as it was, one that was
/// added is left out, one whose protocol changed goes on as it was, and of the others only the address, the port and the
/// socket are kept.
pub(super) fn hold(
    running: &EffectivePolicy,
    mut wanted: EffectivePolicy,
) -> (EffectivePolicy, Vec<PendingRestart>) {
    let mut pending = Vec::new();
    let mut databases = Vec::with_capacity(running.databases.len());
    let mut offered = std::mem::take(&mut wanted.databases);
    for old in &running.databases {
        let at = offered.iter().position(|new| new.name == old.name);
        let new = at.map(|at| offered.remove(at));
        databases.push(hold_database(
            old,
            new,
            &running.origins.0,
            &mut wanted.origins.0,
            &mut pending,
        ));
    }
    for added in offered {
        drop_under(&mut wanted.origins.0, &format!("databases[{}]", added.name));
        pending.push(PendingRestart {
            path: format!("databases[{}]", added.name),
            running: "absent".to_owned(),
            wanted: listener(&added),
        });
    }
    wanted.databases = databases;
    hold_web_sockets(running, &mut wanted, &mut pending);
    hold_audit_trail(running, &mut wanted, &mut pending);
    (wanted, pending)
}

/// As for databases: of a WebSocket entry only the port is kept.
fn hold_web_sockets(
    running: &EffectivePolicy,
    wanted: &mut EffectivePolicy,
    pending: &mut Vec<PendingRestart>,
) {
    let mut offered = std::mem::take(&mut wanted.web_sockets);
    for old in &running.web_sockets {
        let path = format!("webSockets[{}]", old.name);
        let at = offered.iter().position(|new| new.name == old.name);
        let Some(mut new) = at.map(|at| offered.remove(at)) else {
            copy_under(&running.origins.0, &mut wanted.origins.0, &path);
            pending.push(PendingRestart {
                path,
                running: format!("port {}", old.port),
                wanted: "absent".to_owned(),
            });
            wanted.web_sockets.push(old.clone());
            continue;
        };
        if new.port != old.port {
            let path = format!("{path}.listen.port");
            copy_under(&running.origins.0, &mut wanted.origins.0, &path);
            pending.push(PendingRestart {
                path,
                running: old.port.to_string(),
                wanted: new.port.to_string(),
            });
            new.port = old.port;
        }
        wanted.web_sockets.push(new);
    }
    for added in offered {
        let path = format!("webSockets[{}]", added.name);
        drop_under(&mut wanted.origins.0, &path);
        pending.push(PendingRestart {
            path,
            running: "absent".to_owned(),
            wanted: format!("port {}", added.port),
        });
    }
}

/// A trail goes on as it began, under the same key.
fn hold_audit_trail(
    running: &EffectivePolicy,
    wanted: &mut EffectivePolicy,
    pending: &mut Vec<PendingRestart>,
) {
    const PATH: &str = "auditTrail";
    if running.audit_trail == wanted.audit_trail {
        return;
    }
    let shown = |policy: &EffectivePolicy| {
        let trail = policy.audit_trail.as_ref();
        trail.map_or_else(
            || "absent".to_owned(),
            |trail| {
                format!(
                    "{}, user ids {}, on failure {}",
                    trail.destination, trail.user_ids, trail.on_failure
                )
            },
        )
    };
    copy_under(&running.origins.0, &mut wanted.origins.0, PATH);
    pending.push(PendingRestart {
        path: PATH.to_owned(),
        running: shown(running),
        wanted: shown(wanted),
    });
    wanted.audit_trail.clone_from(&running.audit_trail);
}

type Paths = BTreeMap<String, Origin>;

fn hold_database(
    old: &EffectiveDatabase,
    new: Option<EffectiveDatabase>,
    old_origins: &Paths,
    origins: &mut Paths,
    pending: &mut Vec<PendingRestart>,
) -> EffectiveDatabase {
    let path = format!("databases[{}]", old.name);
    let Some(mut new) = new else {
        copy_under(old_origins, origins, &path);
        pending.push(PendingRestart {
            path,
            running: listener(old),
            wanted: "absent".to_owned(),
        });
        return old.clone();
    };
    if new.protocol != old.protocol {
        copy_under(old_origins, origins, &path);
        pending.push(PendingRestart {
            path: format!("{path}.protocol"),
            running: format!("{:?}", old.protocol),
            wanted: format!("{:?}", new.protocol),
        });
        return old.clone();
    }
    for (field, running, wanted) in differing(&old.listen, &new.listen) {
        let path = format!("{path}.listen.{field}");
        copy_under(old_origins, origins, &path);
        pending.push(PendingRestart {
            path,
            running,
            wanted,
        });
    }
    new.listen.address = old.listen.address;
    new.listen.port = old.listen.port;
    new.listen.socket.clone_from(&old.listen.socket);
    new
}

fn differing(old: &EffectiveListen, new: &EffectiveListen) -> Vec<(&'static str, String, String)> {
    let socket = |listen: &EffectiveListen| listen.socket.clone().unwrap_or("none".to_owned());
    [
        ("address", old.address.to_string(), new.address.to_string()),
        ("port", old.port.to_string(), new.port.to_string()),
        ("socket", socket(old), socket(new)),
    ]
    .into_iter()
    .filter(|(_, running, wanted)| running != wanted)
    .collect()
}

fn listener(database: &EffectiveDatabase) -> String {
    let EffectiveListen { address, port, .. } = database.listen;
    format!("{:?} on {address} port {port}", database.protocol)
}

/// Whether `path` is `root` or lies under it.
fn is_under(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn drop_under(origins: &mut Paths, root: &str) {
    origins.retain(|path, _| !is_under(path, root));
}

fn copy_under(from: &Paths, to: &mut Paths, root: &str) {
    drop_under(to, root);
    let kept = from.iter().filter(|(path, _)| is_under(path, root));
    to.extend(kept.map(|(path, origin)| (path.clone(), origin.clone())));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bulkhead_crds::kinds::Protocol;

    use super::*;
    use crate::policy::fixtures::{audit_trail, database, policy};

    #[test]
    fn timeouts_and_limits_are_taken_over_at_once() {
        let running = policy(vec![database("main", 5432)]);
        let mut wanted = running.clone();
        wanted.limits.max_users = 7;
        wanted.databases[0].timeouts.statement = Some(Duration::from_secs(2));

        let (held, pending) = hold(&running, wanted.clone());
        assert_eq!(held, wanted);
        assert_eq!(pending, []);
    }

    #[test]
    fn a_new_port_waits_and_the_rest_of_its_database_does_not() {
        let mut running = policy(vec![database("main", 5432)]);
        let port = "databases[main].listen.port".to_owned();
        running.origins.0.insert(port.clone(), Origin::Base);
        let mut wanted = policy(vec![database("main", 5433)]);
        let staging = Origin::Environment("staging".to_owned());
        wanted.origins.0.insert(port.clone(), staging);
        wanted.databases[0].pool.per_user_max = 9;

        let (held, pending) = hold(&running, wanted);
        assert_eq!(held.databases[0].listen.port, 5432);
        assert_eq!(held.databases[0].pool.per_user_max, 9);
        assert_eq!(held.origins.of(&port), &Origin::Base);
        assert_eq!(
            pending,
            [PendingRestart {
                path: port,
                running: "5432".to_owned(),
                wanted: "5433".to_owned(),
            }]
        );
    }

    #[test]
    fn a_removed_database_goes_on_and_an_added_one_waits() {
        let mut running = policy(vec![database("main", 5432), database("jobs", 5433)]);
        let field = "databases[main].timeouts.idle".to_owned();
        running.origins.0.insert(field.clone(), Origin::Base);
        let mut wanted = policy(vec![database("reports", 5434), database("jobs", 5433)]);
        let added = "databases[reports].timeouts.idle".to_owned();
        wanted.origins.0.insert(added.clone(), Origin::Base);

        let (held, pending) = hold(&running, wanted);
        let names: Vec<&str> = held.databases.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["main", "jobs"]);
        assert_eq!(held.origins.of(&field), &Origin::Base);
        assert!(!held.origins.0.contains_key(&added));
        let waiting: Vec<(&str, &str, &str)> = pending
            .iter()
            .map(|p| (p.path.as_str(), p.running.as_str(), p.wanted.as_str()))
            .collect();
        assert_eq!(
            waiting,
            [
                (
                    "databases[main]",
                    "PostgreSQL on 127.0.0.1 port 5432",
                    "absent"
                ),
                (
                    "databases[reports]",
                    "absent",
                    "PostgreSQL on 127.0.0.1 port 5434"
                ),
            ]
        );
    }

    #[test]
    fn a_database_that_changes_its_protocol_goes_on_as_it_was() {
        let running = policy(vec![database("main", 5432)]);
        let mut wanted = running.clone();
        wanted.databases[0].protocol = Protocol::Redis;
        wanted.databases[0].pool.warm = 1;

        let (held, pending) = hold(&running, wanted);
        assert_eq!(held.databases, running.databases);
        assert_eq!(pending[0].path, "databases[main].protocol");
    }

    #[test]
    fn a_policy_that_changes_back_waits_for_nothing() {
        let running = policy(vec![database("main", 5432)]);
        let (held, pending) = hold(&running, policy(vec![database("main", 5433)]));
        assert_eq!(pending.len(), 1);
        let (_, pending) = hold(&held, running);
        assert_eq!(pending, []);
    }

    #[test]
    fn an_audit_trail_goes_on_as_it_began() {
        let running = policy(vec![database("main", 5432)]);
        let mut wanted = running.clone();
        wanted.audit_trail = Some(audit_trail());
        let (held, pending) = hold(&running, wanted.clone());
        assert_eq!(held.audit_trail, None);
        assert_eq!(pending[0].path, "auditTrail");
        assert_eq!(pending[0].running, "absent");
        let (held, pending) = hold(&wanted, running);
        assert_eq!(held.audit_trail, wanted.audit_trail);
        assert_eq!(pending[0].wanted, "absent");
    }

    #[test]
    fn a_name_is_not_taken_for_another_that_begins_with_it() {
        assert!(is_under("databases[a].listen", "databases[a]"));
        assert!(is_under("databases[a]", "databases[a]"));
        assert!(!is_under(
            "databases[a].listen.portable",
            "databases[a].listen.port"
        ));
        assert!(!is_under("databases[ab]", "databases[a]"));
    }
}
