//! The alerts, as Prometheus' own tool reads them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::render::{beside, chart, objects, rendered};

fn promtool(arguments: &[&str], folder: &Path) {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .output();
    let output = output.expect("promtool starts: tests/setup/ensure promtool installs it");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn prometheus_takes_the_rules() {
    promtool(&["check", "rules", "files/alerts.yaml"], &chart(""));
}

#[test]
fn each_alert_fires_when_it_should_and_not_before() {
    promtool(&["test", "rules", "alerts_test.yaml"], &beside(""));
    let tested = std::fs::read_to_string(beside("alerts_test.yaml")).unwrap();
    for alert in alerts() {
        assert!(
            tested.contains(&format!("alertname: {alert}")),
            "{alert} has no test"
        );
    }
}

fn alerts() -> Vec<String> {
    let text = std::fs::read_to_string(chart("files/alerts.yaml")).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[test]
fn they_are_about_metrics_that_there_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    read(&folder.join("sidecar/src/telemetry"), &mut sources);
    sources += &std::fs::read_to_string(folder.join("operator/src/metrics.rs")).unwrap();
    let rules = std::fs::read_to_string(chart("files/alerts.yaml")).unwrap();
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics: BTreeSet<&str> = words.filter(|word| word.starts_with("bulkhead_")).collect();
    assert!(metrics.len() > 5);
    for metric in metrics {
        assert!(
            sources.contains(&format!("\"{metric}\"")),
            "nobody exports {metric}"
        );
    }
}

fn read(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, into);
        } else {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn an_alert_may_be_left_out_by_name() {
    let all = objects(&rendered("monitoring", &[]));
    let rule = all
        .iter()
        .find(|it| it["kind"] == "PrometheusRule")
        .unwrap()
        .to_string();
    for alert in alerts() {
        assert_eq!(
            rule.contains(&alert),
            alert != "BulkheadCrossUserHandoff",
            "{alert}"
        );
    }
}

#[test]
fn a_cluster_without_the_prometheus_operator_gets_no_monitors() {
    let values = beside("values/monitoring.yaml");
    let text = crate::render::well(crate::render::template(&[
        "--values",
        values.to_str().unwrap(),
    ]));
    assert!(!text.contains("monitoring.coreos.com"));
}
