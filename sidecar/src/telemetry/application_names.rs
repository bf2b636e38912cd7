//! Which applications still come without a user context: the inventory of a migration, kept out of the metrics' labels.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Names that are told apart; the rest are counted together.
pub const MAX_APPLICATION_NAMES: usize = 100;

/// The name under which the rest are counted.
pub const OTHER_APPLICATIONS: &str = "other";

/// PostgreSQL cuts `application_name` at 63 bytes (`NAMEDATALEN`); so is ours.
const MAX_NAME_BYTES: usize = 63;

/// Connections without a user context, counted by the application name that they gave. Names come from clients, so their
/// number and their length are bounded and control characters are replaced.
#[derive(Debug, Default)]
pub struct ApplicationNames {
    counts: Mutex<BTreeMap<String, u64>>,
}

impl ApplicationNames {
    /// Counts one connection. Takes a lock: for the end of a handshake, not for a query.
    pub fn count(&self, name: &str) {
        let name = presentable(name);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&name) {
            *count = count.saturating_add(1);
            return;
        }
        let name = if counts.len() < MAX_APPLICATION_NAMES {
            name
        } else {
            OTHER_APPLICATIONS.to_owned()
        };
        let count = counts.entry(name).or_default();
        *count = count.saturating_add(1);
    }

    /// Name and count, the most frequent first, then by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(String, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<_> = counts.iter().map(|(n, c)| (n.clone(), *c)).collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        rows
    }
}

fn presentable(name: &str) -> String {
    let mut kept = String::new();
    for char in name.chars() {
        let char = if char.is_control() { '?' } else { char };
        if kept.len() + char.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        kept.push(char);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_cap_are_counted_together() {
        let names = ApplicationNames::default();
        for number in 0..MAX_APPLICATION_NAMES + 50 {
            names.count(&format!("app-{number}"));
        }
        names.count("app-0");

        let rows = names.snapshot();
        assert_eq!(rows.len(), MAX_APPLICATION_NAMES + 1);
        assert_eq!(rows[0], (OTHER_APPLICATIONS.to_owned(), 50));
        assert_eq!(rows[1], ("app-0".to_owned(), 2));
    }

    #[test]
    fn a_hostile_name_is_cut_at_a_character_and_loses_its_control_characters() {
        let names = ApplicationNames::default();
        names.count(&format!("a\x1b[2J\n{}", "é".repeat(100)));

        let rows = names.snapshot();
        assert!(rows[0].0.starts_with("a?[2J?é"));
        assert!(rows[0].0.len() <= MAX_NAME_BYTES);
    }
}
