//! Rules about the application's critical events, and the runs that are known by them.

use super::rule::{Complaint, Complaints, complain, per_web_socket, web_socket};
use super::timeouts::outlives;
use crate::effective::{EffectivePolicy, EffectiveWebSocket};
use crate::names::{self, CriticalEvent};

/// An entry that no message can match.
pub(super) fn never_matches(policy: &EffectivePolicy) -> Complaints {
    per_event(policy, |_, entry| {
        let fault = if entry.trim() != entry {
            format!(
                "has blanks at its ends, which count: write `{}`",
                entry.trim()
            )
        } else if entry.starts_with('/') && !entry.contains('=') {
            format!("is a JSON pointer without a value: write `{entry}=VALUE`")
        } else if let Some(pointer) = entry.strip_prefix('/')
            && has_broken_escape(pointer.split('=').next().unwrap_or_default())
        {
            "has a `~` in its pointer that is neither `~0` (a tilde) nor `~1` (a slash; RFC 6901, section 3): write one of them".to_owned()
        } else if *entry == *"socket.io:" {
            "names no event: write `socket.io:NAME`".to_owned()
        } else {
            return None;
        };
        Some(format!("`{entry}` {fault}"))
    })
}

fn has_broken_escape(pointer: &str) -> bool {
    let mut behind = pointer.split('~').skip(1);
    behind.any(|rest| !rest.starts_with(['0', '1']))
}

/// An entry that may be meant as it stands, and hardly ever is.
pub(super) fn unlikely(policy: &EffectivePolicy) -> Complaints {
    per_event(policy, |_, entry| {
        if entry.starts_with(['/'])
            || matches!(CriticalEvent::parse(entry), CriticalEvent::SocketIo(_))
        {
            return None;
        }
        let fault = match (entry.split_once(':'), entry.split_once('=')) {
            (Some((prefix, name)), _) if is_nearly_socket_io(prefix) => {
                format!(
                    "the name of a socket.io event write `socket.io:{}`",
                    name.trim_start()
                )
            }
            (_, Some((place, value))) => format!(
                "a value at a place of its own write `/{}={value}`",
                place.trim_start_matches("$.").replace('.', "/")
            ),
            _ => return None,
        };
        Some(format!(
            "`{entry}` is looked for whole, as the text of the member `type`: for {fault}"
        ))
    })
}

fn is_nearly_socket_io(prefix: &str) -> bool {
    let letters: String = prefix.chars().filter(char::is_ascii_alphanumeric).collect();
    letters.eq_ignore_ascii_case("socketio")
}

/// Of two entries for one event the first has it, and the second is never counted.
pub(super) fn twice(policy: &EffectivePolicy) -> Complaints {
    per_event(policy, |before, entry| {
        let meant = CriticalEvent::parse(entry);
        let first = before
            .iter()
            .find(|other| CriticalEvent::parse(other) == meant)?;
        Some(if first == entry {
            format!("`{entry}` is in the list already: leave it out")
        } else {
            format!(
                "`{entry}` is the same event as `{first}`, which is in the list already: leave it out"
            )
        })
    })
}

/// What `check` has to say of each entry, and of those before it.
fn per_event(
    policy: &EffectivePolicy,
    check: impl Fn(&[String], &str) -> Option<String>,
) -> Complaints {
    per_web_socket(policy, |one| {
        let events = &one.critical_events;
        let complaint = |(at, entry): (usize, &String)| {
            let path = web_socket(&one.name, &format!("criticalEvents[{at}]"));
            Some(complain(path, check(&events[..at], entry)?))
        };
        events.iter().enumerate().filter_map(complaint).collect()
    })
}

/// Runs are known by their events, and by nothing else.
pub(super) fn runs_unseen(policy: &EffectivePolicy) -> Complaints {
    per_web_socket(policy, |one| {
        let limits: Vec<String> = limits(one)
            .into_iter()
            .filter_map(|(name, limit)| Some(format!("{name} {}", names::Duration::from(limit?))))
            .collect();
        if limits.is_empty() || !one.critical_events.is_empty() {
            return Vec::new();
        }
        let message = format!(
            "limits runs ({}), and without criticalEvents none is ever seen: name the application's events there, the one that ends a run last",
            limits.join(", ")
        );
        vec![complain(web_socket(&one.name, "execution"), message)]
    })
}

fn limits(one: &EffectiveWebSocket) -> [(&'static str, Option<std::time::Duration>); 3] {
    let limits = &one.execution;
    [
        ("start", limits.start),
        ("progress", limits.progress),
        ("total", limits.total),
    ]
}

/// Limits that another one always forestalls. `start` is over before `total` begins, and may be as long as it likes.
pub(super) fn run_limits(policy: &EffectivePolicy) -> Complaints {
    per_web_socket(policy, |one| {
        let limits = &one.execution;
        let at = |field: &str| web_socket(&one.name, &format!("execution.{field}"));
        let found: [Option<Complaint>; 3] = [
            outlives(at("progress"), limits.progress, "total", limits.total),
            outlives(
                at("start"),
                limits.start,
                "timeouts.maxLifetime",
                one.max_lifetime,
            ),
            outlives(
                at("total"),
                limits.total,
                "timeouts.maxLifetime",
                one.max_lifetime,
            ),
        ];
        found.into_iter().flatten().collect()
    })
}
