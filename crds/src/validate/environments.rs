//! Rules about environments beside each other.

use std::time::Duration;

use super::rule::{BASE, Complaints, complain, database, web_socket};
use crate::effective::EffectivePolicy;
use crate::names;

/// Environments whose timeouts differ by more than this factor do not test each other.
const FAR: u32 = 10;

/// A timeout that is much longer in one environment than in another differs by accident more often than by design.
pub(super) fn far_apart(environments: &[EffectivePolicy]) -> Complaints {
    let Some(base) = environments.first() else {
        return Vec::new();
    };
    let mut complaints = Vec::new();
    for (at, (path, _)) in timeouts(base).into_iter().enumerate() {
        let mut spans: Vec<(Duration, &str)> = environments
            .iter()
            .filter_map(|one| {
                timeouts(one)
                    .get(at)
                    .and_then(|(_, span)| *span)
                    .map(|span| (span, label(one)))
            })
            .filter(|(span, _)| !span.is_zero())
            .collect();
        spans.sort();
        let (Some((shortest, here)), Some((longest, there))) = (spans.first(), spans.last()) else {
            continue;
        };
        if *longest > shortest.saturating_mul(FAR) {
            complaints.push(complain(
                path,
                format!(
                    "is {} in {here} and {} in {there}, more than {FAR} times as much, so the one does not test the other: bring them closer",
                    names::Duration::from(*shortest),
                    names::Duration::from(*longest)
                ),
            ));
        }
    }
    complaints
}

fn label(policy: &EffectivePolicy) -> &str {
    if policy.environment == BASE {
        "the base"
    } else {
        &policy.environment
    }
}

/// Every timeout with its path. Overlays add no entries, so the order is the same in all environments.
fn timeouts(policy: &EffectivePolicy) -> Vec<(String, Option<Duration>)> {
    let mut all = Vec::new();
    for one in &policy.databases {
        let timeouts = &one.timeouts;
        for (field, span) in [
            ("connect", Some(timeouts.connect)),
            ("acquire", Some(timeouts.acquire)),
            ("statement", timeouts.statement),
            ("transaction", timeouts.transaction),
            ("idleInTransaction", timeouts.idle_in_transaction),
            ("idle", timeouts.idle),
            ("lifetime", timeouts.lifetime),
        ] {
            all.push((database(&one.name, &format!("timeouts.{field}")), span));
        }
    }
    for one in &policy.web_sockets {
        for (field, span) in [
            ("handshake", Some(one.handshake)),
            ("idle", one.idle),
            ("ping", one.ping),
            ("pong", Some(one.pong)),
            ("maxLifetime", one.max_lifetime),
            ("expiryGrace", Some(one.expiry_grace)),
            ("coldStart", Some(one.cold_start)),
        ] {
            all.push((web_socket(&one.name, &format!("timeouts.{field}")), span));
        }
    }
    all
}
