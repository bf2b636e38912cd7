//! The page for operators tells of everything that the status can say.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use bulkhead_crds::conditions::{
    AcceptedReason, DegradedReason, EnforcedReason, ProgrammedReason, SkippedReason,
};

fn rows(text: &str, heading: &str) -> Vec<String> {
    let section = text
        .split("\n### ")
        .find(|it| it.starts_with(heading))
        .unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let cells = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    cells.map(str::to_owned).collect()
}

#[test]
fn every_reason_has_a_row_and_every_row_is_of_a_reason() {
    let page = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs")
            .join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let (operations, revocation) = (page("operations.md"), page("revocation.md"));
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    let names = |all: &[&str]| sorted(all.iter().map(|&it| it.to_owned()).collect());
    let accepted: Vec<&str> = AcceptedReason::ALL.iter().map(|it| it.as_str()).collect();
    let programmed: Vec<&str> = ProgrammedReason::ALL.iter().map(|it| it.as_str()).collect();
    let degraded: Vec<&str> = DegradedReason::ALL.iter().map(|it| it.as_str()).collect();
    let skipped: Vec<&str> = SkippedReason::ALL.iter().map(|it| it.as_str()).collect();
    let enforced: Vec<&str> = EnforcedReason::ALL.iter().map(|it| it.as_str()).collect();
    for (text, heading, reasons) in [
        (&operations, "`Accepted`", accepted),
        (&operations, "`Programmed`", programmed),
        (&operations, "`Degraded`", degraded),
        (&operations, "`status.pods.skipped`", skipped),
        (&revocation, "`Enforced`", enforced),
    ] {
        assert_eq!(sorted(rows(text, heading)), names(&reasons), "{heading}");
    }
}
