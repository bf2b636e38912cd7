//! Rules about timeouts that depend on each other.

use std::time::Duration;

use super::rule::{Complaint, Complaints, complain, database, web_socket};
use crate::effective::{EffectiveDatabase, EffectivePolicy};
use crate::names;

/// Waiting without end is what these timeouts are there to prevent.
pub(super) fn never_off(policy: &EffectivePolicy) -> Complaints {
    let databases = policy.databases.iter().flat_map(|one| {
        [
            (
                database(&one.name, "timeouts.connect"),
                one.timeouts.connect,
            ),
            (
                database(&one.name, "timeouts.acquire"),
                one.timeouts.acquire,
            ),
            (database(&one.name, "breaker.window"), one.breaker.window),
            (database(&one.name, "breaker.open"), one.breaker.open),
        ]
    });
    let sockets = policy.web_sockets.iter().flat_map(|one| {
        [
            (web_socket(&one.name, "timeouts.handshake"), one.handshake),
            // A pong that has no time is late.
            (web_socket(&one.name, "timeouts.pong"), one.pong),
        ]
    });
    databases
        .chain(sockets)
        .filter(|(_, span)| span.is_zero())
        .map(|(path, _)| {
            complain(
                path,
                "is 0s, and cannot be switched off: write a time, or leave it out for the default",
            )
        })
        .collect()
}

pub(super) fn statement_over_transaction(policy: &EffectivePolicy) -> Complaints {
    longer(policy, "timeouts.statement", "transaction", |one| {
        (one.timeouts.statement, one.timeouts.transaction)
    })
}

pub(super) fn idle_over_transaction(policy: &EffectivePolicy) -> Complaints {
    longer(policy, "timeouts.idleInTransaction", "transaction", |one| {
        (one.timeouts.idle_in_transaction, one.timeouts.transaction)
    })
}

/// Of databases and of WebSockets.
pub(super) fn idle_over_lifetime(policy: &EffectivePolicy) -> Complaints {
    let mut complaints = longer(policy, "timeouts.idle", "lifetime", |one| {
        (one.timeouts.idle, one.timeouts.lifetime)
    });
    complaints.extend(policy.web_sockets.iter().filter_map(|one| {
        outlives(
            web_socket(&one.name, "timeouts.idle"),
            one.idle,
            "maxLifetime",
            one.max_lifetime,
        )
    }));
    complaints
}

fn longer(
    policy: &EffectivePolicy,
    field: &str,
    bound: &str,
    pair: impl Fn(&EffectiveDatabase) -> (Option<Duration>, Option<Duration>),
) -> Complaints {
    let check = |one: &EffectiveDatabase| {
        let (inner, outer) = pair(one);
        outlives(database(&one.name, field), inner, bound, outer)
    };
    policy.databases.iter().filter_map(check).collect()
}

/// A timeout that another one always forestalls.
pub(super) fn outlives(
    path: String,
    inner: Option<Duration>,
    bound: &str,
    outer: Option<Duration>,
) -> Option<Complaint> {
    let (inner, outer) = (inner?, outer?);
    (inner > outer).then(|| {
        let message = format!(
            "{} never fires, because {bound} ends it after {}: lower it, or raise {bound}",
            names::Duration::from(inner),
            names::Duration::from(outer)
        );
        complain(path, message)
    })
}

/// A handshake that waits for a database connection gives up before that does.
pub(super) fn handshake_too_short(policy: &EffectivePolicy) -> Complaints {
    let mut complaints = Vec::new();
    for socket in &policy.web_sockets {
        for one in &policy.databases {
            let wait = one.timeouts.acquire.saturating_add(one.timeouts.connect);
            if wait > socket.handshake && !socket.handshake.is_zero() {
                complaints.push(complain(
                    web_socket(&socket.name, "timeouts.handshake"),
                    format!(
                        "{} is shorter than acquire and connect of database {} together ({}), so a handshake that waits for a connection fails first: raise it above that",
                        names::Duration::from(socket.handshake),
                        one.name,
                        names::Duration::from(wait)
                    ),
                ));
            }
        }
    }
    complaints
}
