//! What rules, dashboards and the documentation say of metrics, held against what the programs export.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use crate::alerts::docs;
use crate::render::chart;

/// The metrics that the code of both programs registers, by the literals of their names: those that a process shows only at times among them.
pub(crate) fn exported() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    read(&folder.join("sidecar/src/telemetry"), &mut sources);
    sources += &std::fs::read_to_string(folder.join("operator/src/metrics.rs")).unwrap();
    let mut names = BTreeSet::new();
    for prefix in ["\"bulkhead_", "\"process_"] {
        for rest in sources.split(prefix).skip(1) {
            let (name, after) = rest.split_once('"').unwrap();
            let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            // What follows a name in a registration; a label's text or a test's line has something else.
            if is_name && after.trim_start().starts_with([',', ')']) {
                names.insert(format!("{}{name}", &prefix[1..]));
            }
        }
    }
    assert!(names.len() > 50, "{names:?}");
    names
}

fn read(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, into);
        // Log targets look like metrics.
        } else if !["tests.rs", "logs.rs"]
            .map(OsStr::new)
            .contains(&path.file_name().unwrap())
        {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// The metrics that a text names: histograms by their family.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c: char| !is_part(c));
    let ours = words.filter(|word| {
        word.starts_with("bulkhead_") || word.starts_with("process_") || word.contains(":bulkhead_")
    });
    ours.map(str::to_owned).collect()
}

fn family(name: &str) -> &str {
    let parts = ["_bucket", "_count", "_sum"];
    parts
        .iter()
        .find_map(|part| name.strip_suffix(part))
        .unwrap_or(name)
}

fn dashboards() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(chart("files/dashboards")) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

#[test]
fn rules_and_dashboards_are_about_metrics_that_there_are() {
    let exported = exported();
    let rules = crate::alerts::rules();
    let recorded: BTreeSet<&str> = rules
        .iter()
        .filter_map(|it| it["record"].as_str())
        .collect();
    let queries: Vec<String> = rules
        .iter()
        .map(|rule| rule["expr"].as_str().unwrap().to_owned())
        .chain(dashboards())
        .collect();
    let metrics: BTreeSet<String> = queries.iter().flat_map(|it| named(it)).collect();
    assert!(metrics.len() > 20);
    for metric in metrics {
        let is_ours = exported.contains(family(&metric)) || recorded.contains(metric.as_str());
        assert!(is_ours, "nobody exports or records {metric}");
    }
}

/// A row of docs/metrics.md: the metrics that it is about, and its last cell.
fn rows(page: &str) -> Vec<(Vec<String>, String)> {
    let tables = page
        .lines()
        .filter(|line| line.starts_with("| `bulkhead_") || line.starts_with("| `process_"));
    tables
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let names = cells[0]
                .split(", ")
                .map(|it| it.trim_matches('`').to_owned());
            (names.collect(), (*cells.last().unwrap()).to_owned())
        })
        .collect()
}

#[test]
fn every_metric_is_documented_with_its_alert_or_why_it_has_none() {
    let page = std::fs::read_to_string(docs("metrics.md")).unwrap();
    let alerts: BTreeSet<String> = crate::alerts::rules()
        .iter()
        .filter_map(|rule| Some(rule["alert"].as_str()?.to_owned()))
        .collect();
    let mut documented = BTreeSet::new();
    for (names, alert) in rows(&page) {
        let told: Vec<&str> = alert
            .split("](runbooks/")
            .skip(1)
            .filter_map(|it| it.split(".md)").next())
            .collect();
        for name in &told {
            assert!(alerts.contains(*name), "{names:?}: there is no {name}");
        }
        let why_none = alert.starts_with("none: ") || alert.starts_with("none of its own; ");
        assert!(
            !told.is_empty() || why_none,
            "{names:?} names no alert and does not say why: {alert}"
        );
        documented.extend(names);
    }
    assert_eq!(
        documented,
        exported(),
        "docs/metrics.md and what the programs export"
    );
}
