//! Each rule of the table: a policy that breaks it and nothing else, and what it is told. Beside them policies that come close.

mod broken;
mod broken_sockets;
mod parts;
mod sound;
mod sound_sockets;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bulkhead_crds::validate::{RULES, validate};
use bulkhead_crds::{Severity, resolve};

use crate::writing::policy_but;
use broken::Case;

fn broken() -> impl Iterator<Item = &'static Case> {
    broken::BROKEN.iter().chain(broken_sockets::BROKEN)
}

#[test]
fn each_rule_is_broken_by_its_policy_and_by_nothing_else() {
    let mut told = String::new();
    for (rule, changes) in broken() {
        // Given a sound policy with a fault, when it is judged, then that rule alone complains.
        let findings = validate(&policy_but(changes));
        let reasons: BTreeSet<&str> = findings.iter().map(|finding| finding.reason).collect();
        assert_eq!(
            reasons,
            BTreeSet::from([*rule]),
            "{changes:?}: {findings:#?}"
        );
        for finding in findings {
            let _ = writeln!(told, "{finding}");
        }
    }
    insta::assert_snapshot!("rules", told);
}

#[test]
fn no_rule_is_without_a_policy_that_breaks_it() {
    let broken: BTreeSet<&str> = broken().map(|(rule, _)| *rule).collect();
    let table: BTreeSet<&str> = RULES.iter().map(|rule| rule.reason).collect();
    assert_eq!(broken, table);
    assert_eq!(table.len(), RULES.len(), "two rules of one name");
}

#[test]
fn what_is_on_the_right_side_of_the_line_is_left_in_peace() {
    for changes in sound::SOUND.iter().chain(sound_sockets::SOUND) {
        let findings = validate(&policy_but(changes));
        assert_eq!(findings, [], "{changes:?}");
    }
}

#[test]
fn resolve_refuses_errors_and_lets_warnings_pass() {
    for (rule, changes) in broken() {
        let policy = policy_but(changes);
        let severity = RULES
            .iter()
            .find(|one| one.reason == *rule)
            .map(|one| one.severity);
        let refused = resolve(&policy, "production").err().unwrap_or_default();
        assert_eq!(
            refused.is_empty(),
            severity == Some(Severity::Warning),
            "{rule}: {refused:?}"
        );
        assert!(
            refused
                .iter()
                .all(|finding| finding.severity == Severity::Error)
        );
    }
}
