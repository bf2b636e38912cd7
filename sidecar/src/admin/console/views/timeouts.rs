//! `SHOW TIMEOUTS`: what the policy allows, and how often that was not enough.

use bulkhead_crds::{explain, names};

use super::super::Console;
use super::super::rows::Rows;
use crate::telemetry::{Clients, TimeoutKind};

pub(super) fn rows(console: &Console, rows: &mut Rows) {
    let revision = console.admin.store.current();
    let clients = console.admin.metrics.clients();
    for row in explain(&revision.policy) {
        let Some((entry, field)) = timeout_of(&row.path) else {
            continue;
        };
        let of_entry = clients.iter().find(|(name, _)| name == entry);
        let counted = |kind| {
            of_entry.map(|(_, clients): &(_, std::sync::Arc<Clients>)| clients.timeouts(kind))
        };
        let limit = row.value.parse::<names::Duration>().ok();
        rows.push(0, || {
            vec![
                entry.into(),
                field.into(),
                limit.map(names::Duration::get).into(),
                row.origin.to_string().into(),
                kind_of(field).and_then(counted).into(),
            ]
        });
    }
}

/// The entry and the field of `databases[main].timeouts.statement`.
fn timeout_of(path: &str) -> Option<(&str, &str)> {
    let (_, rest) = path.split_once('[')?;
    let (entry, rest) = rest.split_once(']')?;
    Some((entry, rest.strip_prefix(".timeouts.")?))
}

/// As what a timeout is counted.
fn kind_of(field: &str) -> Option<TimeoutKind> {
    Some(match field {
        "connect" => TimeoutKind::Connect,
        "acquire" => TimeoutKind::Acquire,
        "statement" => TimeoutKind::Statement,
        "transaction" => TimeoutKind::Transaction,
        "idleInTransaction" => TimeoutKind::IdleInTransaction,
        "idle" => TimeoutKind::Idle,
        "lifetime" | "maxLifetime" => TimeoutKind::Lifetime,
        "handshake" => TimeoutKind::Handshake,
        "pong" => TimeoutKind::Ping,
        "coldStart" => TimeoutKind::ColdStart,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::{database, policy};

    #[test]
    fn the_timeouts_of_a_database_are_found_and_each_is_counted() {
        let policy = policy(vec![database("main", 5432)]);
        let rows = explain(&policy);
        let found: Vec<_> = rows
            .iter()
            .filter_map(|row| timeout_of(&row.path))
            .collect();
        assert_eq!(found.len(), 7, "{found:?}");
        for (entry, field) in found {
            assert_eq!(entry, "main");
            assert!(kind_of(field).is_some(), "{field}");
        }
        assert_eq!(timeout_of("databases[main].pool.warm"), None);
        assert_eq!(timeout_of("mode"), None);
    }
}
