//! What a person should notice, told as Kubernetes Events: when a condition changes sides or reason, and never for a reconcile that found
//! nothing new. What to tell is pure.

use bulkhead_crds::conditions::{ConditionType, EnforcedReason, ProgrammedReason};
use bulkhead_crds::kinds::{Condition, ConditionStatus};
use kube::runtime::events::{Event, EventType};

/// The longest note of an Event, in bytes.
const LONGEST_NOTE: usize = 1024;

/// The events that lie between two statuses, of a policy or of a revocation, by their conditions.
#[must_use]
pub fn between(old: &[Condition], new: &[Condition]) -> Vec<Event> {
    let news = new.iter().filter_map(|condition| {
        let before = old.iter().find(|before| before.r#type == condition.r#type);
        told(before, condition).map(|kind| event(kind, condition))
    });
    news.collect()
}

/// Whether a change of a condition is one to be told, and how gravely.
fn told(before: Option<&Condition>, now: &Condition) -> Option<EventType> {
    let same_side = before.is_some_and(|before| before.status == now.status);
    if same_side && before.is_some_and(|before| before.reason == now.reason) {
        return None;
    }
    let holds = now.status == ConditionStatus::True;
    let degraded = now.r#type == ConditionType::Degraded.as_str();
    if holds == degraded {
        // Syncing passes by itself, as does a revocation; and a policy that is not accepted has said so already.
        let passing = [
            ProgrammedReason::Syncing.as_str(),
            ProgrammedReason::NotAccepted.as_str(),
            EnforcedReason::Syncing.as_str(),
            EnforcedReason::Expired.as_str(),
        ];
        let passes = passing.contains(&&*now.reason);
        return (!passes).then_some(EventType::Warning);
    }
    // Good news is told where it follows bad news, or is the first that is heard of a policy.
    let first = before.is_none() && !degraded && now.reason != ProgrammedReason::NoPods.as_str();
    let better = before.is_some() && !same_side;
    (first || better).then_some(EventType::Normal)
}

fn event(kind: EventType, condition: &Condition) -> Event {
    let mut note = condition.message.clone();
    while note.len() > LONGEST_NOTE {
        note.pop();
    }
    Event {
        type_: kind,
        reason: condition.reason.clone(),
        note: Some(note),
        action: condition.r#type.clone(),
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(conditions: &[(&str, bool, &str)]) -> Vec<Condition> {
        let conditions = conditions.iter().map(|(kind, holds, reason)| Condition {
            r#type: (*kind).to_owned(),
            status: if *holds {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            },
            reason: (*reason).to_owned(),
            message: String::new(),
            last_transition_time: String::new(),
            observed_generation: None,
        });
        conditions.collect()
    }

    #[test]
    fn news_is_told_once_and_passing_states_are_not() {
        type Side<'a> = (&'a str, bool, &'a str);
        type Row<'a> = (Option<Side<'a>>, Side<'a>, Option<EventType>);
        let table: [Row<'_>; 15] = [
            (
                None,
                ("Enforced", true, "Enforced"),
                Some(EventType::Normal),
            ),
            (
                Some(("Enforced", false, "Syncing")),
                ("Enforced", false, "SidecarsRefuse"),
                Some(EventType::Warning),
            ),
            (
                Some(("Enforced", true, "Enforced")),
                ("Enforced", false, "Expired"),
                None,
            ),
            (
                None,
                ("Enforced", false, "ListFull"),
                Some(EventType::Warning),
            ),
            (
                None,
                ("Accepted", true, "Accepted"),
                Some(EventType::Normal),
            ),
            (
                None,
                ("Accepted", false, "Invalid"),
                Some(EventType::Warning),
            ),
            (None, ("Programmed", true, "NoPods"), None),
            (None, ("Degraded", false, "NoWayAround"), None),
            (
                Some(("Accepted", true, "Accepted")),
                ("Accepted", true, "Accepted"),
                None,
            ),
            (
                Some(("Programmed", true, "Programmed")),
                ("Programmed", false, "Syncing"),
                None,
            ),
            (
                Some(("Programmed", false, "Syncing")),
                ("Programmed", true, "Programmed"),
                Some(EventType::Normal),
            ),
            (
                Some(("Programmed", false, "Syncing")),
                ("Programmed", false, "RolloutPending"),
                Some(EventType::Warning),
            ),
            (
                Some(("Programmed", true, "Programmed")),
                ("Programmed", false, "NotAccepted"),
                None,
            ),
            (
                Some(("Degraded", false, "NoWayAround")),
                ("Degraded", true, "HostNetwork"),
                Some(EventType::Warning),
            ),
            (
                Some(("Degraded", true, "HostNetwork")),
                ("Degraded", false, "NoWayAround"),
                Some(EventType::Normal),
            ),
        ];
        for (before, now, expected) in table {
            let old = before.map(|before| status(&[before])).unwrap_or_default();
            let told = between(&old, &status(&[now]));
            let kinds: Vec<_> = told.iter().map(|event| event.type_).collect();
            assert_eq!(kinds, Vec::from_iter(expected), "{before:?} to {now:?}");
        }
    }
}
