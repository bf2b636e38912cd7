//! docs/reliability.md: each row of its table is whole, and names a test that exists.

use std::path::Path;

/// The faults that the page must have, each in a row of its own.
const FAULTS: [&str; 17] = [
    "Server dies in mid-handshake",
    "Server dies in mid-query",
    "Server dies in mid-COPY",
    "Server dies in mid-pipeline",
    "Half-open server",
    "Slow loris",
    "Client vanishes while its query runs",
    "Cancel lost on its way",
    "Storm of 2,000 connections",
    "Malformed frames",
    "Certificate rotated",
    "Credentials rotated",
    "Clock jump",
    "SIGTERM under load",
    "Sidecar killed",
    "Descriptors, server connections or memory run out",
    "Long soak",
];

fn page() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::read_to_string(docs.join("reliability.md")).unwrap()
}

/// The rows of the table of faults, cell by cell.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let lines = page.lines().skip_while(|line| !line.starts_with("| fault"));
    let rows = lines.skip(2).take_while(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// The targets of the links `[name](path#test)` in a cell.
fn links(cell: &str) -> Vec<&str> {
    let targets = cell.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

#[test]
fn each_fault_has_a_row_and_each_row_tests_that_exist() {
    let page = page();
    let rows = rows(&page);
    for fault in FAULTS {
        let count = rows.iter().filter(|row| row[0].starts_with(fault)).count();
        assert_eq!(count, 1, "rows of {fault}");
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for row in rows {
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let tests = links(row[5]);
        assert!(!tests.is_empty(), "{} has no test", row[0]);
        for target in tests {
            let (path, test) = target.split_once('#').unwrap();
            let source = std::fs::read_to_string(docs.join(path))
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(
                source.contains(&format!("fn {test}(")),
                "{path} has no test {test}"
            );
        }
    }
}
