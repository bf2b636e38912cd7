//! What is known to differ, and why: `known.yaml`. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;

/// Each test of a suite by name, and whether it has passed; without those that were skipped.
pub type Outcomes = BTreeMap<String, bool>;

/// Tests that pass direct and not through the sidecar, for one reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    suite: String,
    /// Pool modes.
    modes: BTreeSet<String>,
    why: String,
    tests: BTreeSet<String>,
}

/// The tests of `suite` that are known to differ in `mode`.
pub fn known(suite: &str, mode: &str) -> BTreeSet<String> {
    let entries: Vec<Entry> = serde_yaml::from_str(include_str!("known.yaml")).unwrap();
    let entries = entries.into_iter().filter(|entry| {
        assert!(!entry.why.is_empty(), "{:?} have no reason", entry.tests);
        entry.suite == suite && entry.modes.contains(mode)
    });
    entries.flat_map(|entry| entry.tests).collect()
}

/// Holds what differs to what is known to.
///
/// # Errors
/// A test differs that is not known to, or is known to and does not.
pub fn judge(
    direct: &Outcomes,
    through: &Outcomes,
    known: &BTreeSet<String>,
) -> Result<(), String> {
    let passed = direct.iter().filter(|(_, passed)| **passed);
    let differ: BTreeSet<String> = passed
        .filter(|(name, _)| !through.get(*name).is_some_and(|passed| *passed))
        .map(|(name, _)| name.clone())
        .collect();
    let mut told = String::new();
    for name in differ.difference(known) {
        let how = match through.get(name) {
            Some(_) => "fails",
            None => "does not run, or is skipped,",
        };
        let _ = writeln!(
            told,
            "{name} {how} through the sidecar, and passes direct: mend the sidecar, or write the reason into known.yaml"
        );
    }
    for name in known.difference(&differ) {
        let _ = writeln!(
            told,
            "{name} is in known.yaml, and does not differ: take it out"
        );
    }
    if told.is_empty() { Ok(()) } else { Err(told) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(tests: &[(&str, bool)]) -> Outcomes {
        let named = |(name, passed): &(&str, bool)| ((*name).to_owned(), *passed);
        tests.iter().map(named).collect()
    }

    #[test]
    fn what_differs_has_a_reason_and_what_has_a_reason_differs() {
        let direct = outcomes(&[("a", true), ("b", true), ("c", false)]);
        let good = outcomes(&[("a", true), ("b", true), ("c", false)]);
        let worse = outcomes(&[("a", true), ("b", false), ("c", false)]);
        let missing = outcomes(&[("a", true), ("c", true)]);
        for (through, known, told) in [
            (&good, &[][..], None),
            (&worse, &["b"], None),
            (&missing, &["b"], None),
            (&worse, &[], Some("b fails")),
            (&missing, &[], Some("b does not run")),
            (&good, &["b"], Some("b is in known.yaml")),
            // What fails direct says nothing of the sidecar.
            (&good, &["c"], Some("c is in known.yaml")),
            (&good, &["gone"], Some("gone is in known.yaml")),
        ] {
            let known = known.iter().map(|name| (*name).to_owned()).collect();
            let judged = judge(&direct, through, &known);
            match told {
                None => assert_eq!(judged, Ok(())),
                Some(told) => assert!(judged.unwrap_err().starts_with(told)),
            }
        }
    }

    #[test]
    fn the_list_names_suites_and_modes_that_there_are() {
        let entries: Vec<Entry> = serde_yaml::from_str(include_str!("known.yaml")).unwrap();
        for entry in entries {
            assert!(super::super::SUITES.contains(&entry.suite.as_str()));
            for mode in &entry.modes {
                assert!(super::super::MODES.contains(&mode.as_str()), "{mode}");
            }
        }
    }
}
