//! The table in docs/postgresql-features.md: its cells, and its links.

use std::path::Path;

use super::Front;

/// The columns behind the feature, in the page's order.
const COLUMNS: [(&str, &str); 6] = [
    ("Transaction", "Dedicated"),
    ("Transaction", "Reset"),
    ("Transaction", "Shared"),
    ("Session", "Dedicated"),
    ("Session", "Reset"),
    ("Session", "Shared"),
];

/// The page.
pub(super) fn read() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::read_to_string(docs.join("postgresql-features.md")).unwrap()
}

/// What the table says of a feature in one column, without its link.
pub(super) fn cell<'a>(page: &'a str, feature: &str, front: Front) -> &'a str {
    let begins = format!("| {feature} |");
    let rows: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with(&begins))
        .collect();
    assert_eq!(rows.len(), 1, "one row is wanted for {feature}: {rows:?}");
    let column = COLUMNS
        .iter()
        .position(|column| *column == (front.mode, front.tier));
    let cell = rows[0].split(" | ").nth(1 + column.unwrap()).unwrap();
    let cell = cell.trim_end_matches(" |").trim_start_matches('[');
    cell.split(']').next().unwrap()
}

/// The targets of the page's links of the form `[text][name]`, as `name: path#test`.
fn references(page: &str) -> Vec<(&str, &str)> {
    let references = page
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    references.collect()
}

#[test]
fn every_link_of_the_table_is_to_a_test_that_exists() {
    let page = read();
    let references = references(&page);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for (name, target) in &references {
        let (path, test) = target
            .split_once('#')
            .unwrap_or_else(|| panic!("{name} names no test: {target}"));
        let source = std::fs::read_to_string(docs.join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(
            source.contains(&format!("fn {test}(")),
            "{path} has no test {test}"
        );
    }
    let tables = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| feature"));
    for line in tables {
        for cell in line.split(" | ").skip(1) {
            let cell = cell.trim_end_matches(" |");
            let linked = cell
                .split_once("][")
                .and_then(|(_, name)| name.strip_suffix(']'));
            let linked = linked.unwrap_or_else(|| panic!("a cell has no link: {cell:?} in {line}"));
            let known = references.iter().any(|(name, _)| *name == linked);
            assert!(known, "nothing is called {linked}: {line}");
        }
    }
}

#[test]
fn every_conversation_has_a_row() {
    let page = read();
    for conversation in super::conversations() {
        for (mode, tier) in COLUMNS {
            let said = cell(&page, conversation.feature, Front { mode, tier });
            assert!(
                matches!(said, "works" | "pinned"),
                "{}: {said}",
                conversation.feature
            );
        }
    }
}
