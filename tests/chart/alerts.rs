//! The alerts: as Prometheus' own tool reads them, as the chart renders them, and as their runbooks tell of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::render::{beside, chart, objects, rendered, template, well};

/// What stands before a runbook's name where nobody says otherwise.
const RUNBOOKS: &str = "https://github.com/bulkhead/bulkhead/blob/main/docs/runbooks";

fn promtool(arguments: &[&str], folder: &Path) {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .output();
    let output = output.expect("promtool starts: tests/setup/ensure promtool installs it");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// A file of the documentation.
pub(crate) fn docs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(path)
}

/// The rules of the plain file, in their order.
pub(crate) fn rules() -> Vec<Value> {
    let text = std::fs::read_to_string(chart("files/rules.yaml")).unwrap();
    rules_of(&serde_yaml::from_str(&text).unwrap())
}

fn rules_of(groups: &Value) -> Vec<Value> {
    let groups = groups["groups"].as_array().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

/// The alerts by their names.
fn alerts() -> BTreeMap<String, Value> {
    let alerts = rules().into_iter().filter(|rule| rule["alert"].is_string());
    alerts
        .map(|rule| (rule["alert"].as_str().unwrap().to_owned(), rule))
        .collect()
}

fn stems(folder: &Path, extension: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let ours = paths.filter(|path| path.extension().is_some_and(|it| it == extension));
    ours.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn prometheus_takes_the_rules() {
    promtool(&["check", "rules", "files/rules.yaml"], &chart(""));
}

#[test]
fn each_alert_fires_when_it_should_and_not_before() {
    let (folder, names) = (beside("alerts"), alerts());
    let tested = stems(&folder, "yaml");
    assert_eq!(tested, names.keys().cloned().collect());
    for name in &tested {
        let file = format!("{name}.yaml");
        let text = std::fs::read_to_string(folder.join(&file)).unwrap();
        let asked = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}");
        let (mut fires, mut is_silent) = (false, false);
        let tests: Value = serde_yaml::from_str(&text).unwrap();
        for test in tests["tests"].as_array().unwrap() {
            for check in test["promql_expr_test"].as_array().unwrap() {
                if check["expr"].as_str().unwrap().contains(&asked) {
                    let samples = check["exp_samples"].as_array();
                    fires |= samples.is_some();
                    is_silent |= samples.is_none();
                }
            }
        }
        assert!(fires && is_silent, "{file}: firing and not firing");
        promtool(&["test", "rules", &file], &folder);
    }
}

#[test]
fn the_service_levels_are_what_their_page_says() {
    promtool(&["test", "rules", "slo_test.yaml"], &beside(""));
    let page = std::fs::read_to_string(docs("alerts.md")).unwrap();
    for rule in rules() {
        let Some(name) = rule["record"].as_str() else {
            continue;
        };
        let parts: Vec<&str> = name.split(':').collect();
        assert_eq!(parts.len(), 3, "{name} is not level:metric:operations");
        let told = format!("{}:{}:", parts[0], parts[1]);
        assert!(
            page.contains(&told),
            "docs/alerts.md does not tell of {name}"
        );
    }
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let names: BTreeSet<String> = alerts().into_keys().collect();
    assert_eq!(stems(&docs("runbooks"), "md"), names);
    let page = std::fs::read_to_string(docs("alerts.md")).unwrap();
    for (name, rule) in alerts() {
        let row = format!("| [{name}](runbooks/{name}.md) | {} |", severity(&rule));
        assert!(page.contains(&row), "docs/alerts.md has no row {row}");
        let text = std::fs::read_to_string(docs(&format!("runbooks/{name}.md"))).unwrap();
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        let expected = [
            &format!("# {name}"),
            "## What users see",
            "## Why",
            "## What to do",
            "## When it is over",
        ];
        assert_eq!(headings, expected);
        let told = format!("Severity: {}.", severity(&rule));
        assert!(text.contains(&told), "{name}: {told}");
        assert!(text.contains("\n```sh\n"), "{name} names no command");
    }
}

fn severity(rule: &Value) -> &str {
    let severity = rule["labels"]["severity"].as_str().unwrap();
    assert!(["critical", "warning"].contains(&severity), "{rule}");
    severity
}

#[test]
fn each_alert_says_what_where_and_what_to_do() {
    for (name, rule) in alerts() {
        let of = |key: &str| rule["annotations"][key].as_str().unwrap_or_default();
        assert!(of("summary").ends_with('.'), "{name}");
        assert!(!of("summary").contains("{{"), "{name}: one text for all");
        assert!(of("description").ends_with('.'), "{name}");
        assert_eq!(of("runbook_url"), format!("{RUNBOOKS}/{name}.md"));
        let expr = rule["expr"].as_str().unwrap();
        for label in of("description").split("$labels.").skip(1) {
            let end = label.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let label = &label[..end.unwrap_or(label.len())];
            assert!(keeps(expr, label), "{name}: {label} is no label of it");
        }
    }
}

/// Whether an expression keeps a label: by its aggregation, or by the level of a recorded series.
fn keeps(expr: &str, label: &str) -> bool {
    let of_groupings = expr.split("by (").skip(1).map(|it| {
        let names = it.split(')').next().unwrap_or_default();
        names.split(", ").any(|name| name == label)
    });
    let recorded = expr
        .split([' ', '\n', '('])
        .filter(|word| word.matches(':').count() == 2);
    let mut kept = of_groupings.chain(recorded.map(|series| {
        let level = series.split(':').next().unwrap_or_default();
        level.split('_').any(|name| name == label)
    }));
    kept.any(|kept| kept)
}

/// The rules of a rendered chart.
fn rendered_rules(more: &[&str]) -> Vec<Value> {
    let all = objects(&rendered("monitoring", more));
    let rule = all.iter().find(|it| it["kind"] == "PrometheusRule");
    rules_of(&rule.unwrap()["spec"])
}

/// What an expression says, without its comments and its layout.
fn said(expr: &Value) -> String {
    let lines = expr.as_str().unwrap().lines();
    let code = lines.map(|line| line.split(" # ").next().unwrap_or_default());
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

#[test]
fn the_charts_rules_are_the_files_rules() {
    let rendered = rendered_rules(&["--set", "monitoring.prometheusRule.disabled=null"]);
    let plain = rules();
    assert_eq!(rendered.len(), plain.len());
    for (mut rendered, mut plain) in rendered.into_iter().zip(plain) {
        assert!(
            !rendered["expr"].as_str().unwrap().contains('#'),
            "{rendered}"
        );
        for rule in [&mut rendered, &mut plain] {
            rule["expr"] = Value::String(said(&rule["expr"]));
        }
        assert_eq!(rendered, plain, "values.yaml has another default");
    }
}

#[test]
fn each_threshold_can_be_changed_where_it_is_used() {
    let values: Value =
        serde_yaml::from_str(&std::fs::read_to_string(chart("values.yaml")).unwrap()).unwrap();
    let thresholds = values["monitoring"]["prometheusRule"]["thresholds"].as_object();
    let text = std::fs::read_to_string(chart("files/rules.yaml")).unwrap();
    let page = std::fs::read_to_string(docs("alerts.md")).unwrap();
    let mut marked: BTreeSet<&str> = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("      ")) {
        marked.extend(line.split_once(" # ").map(|(_, name)| name));
    }
    let named: BTreeSet<&str> = thresholds.unwrap().keys().map(String::as_str).collect();
    assert_eq!(named, marked);
    for (name, value) in thresholds.unwrap() {
        assert!(page.contains(&format!("| `{name}` | {value} |")), "{name}");
        let set = format!("monitoring.prometheusRule.thresholds.{name}=0.7531");
        let uses = text.matches(&format!(" # {name}\n")).count();
        let all: String = rendered_rules(&["--set-json", &set])
            .iter()
            .map(|rule| rule["expr"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(all.matches("0.7531").count(), uses, "{name}");
    }
}

#[test]
fn the_runbooks_may_be_a_copy_of_yours() {
    let set = "monitoring.prometheusRule.runbookBaseUrl=https://wiki/bulkhead/";
    for rule in rendered_rules(&["--set", set]) {
        if let Some(name) = rule["alert"].as_str() {
            let url = format!("https://wiki/bulkhead/{name}.md");
            assert_eq!(rule["annotations"]["runbook_url"], url);
        }
    }
}

#[test]
fn an_alert_may_be_left_out_by_name() {
    let left: BTreeSet<String> = rendered_rules(&[])
        .iter()
        .filter_map(|rule| Some(rule["alert"].as_str()?.to_owned()))
        .collect();
    for alert in alerts().keys() {
        let is_left_out = alert == "BulkheadCrossUserHandoff";
        assert_eq!(left.contains(alert), !is_left_out, "{alert}");
    }
}

#[test]
fn a_cluster_without_the_prometheus_operator_gets_no_monitors() {
    let values = beside("values/monitoring.yaml");
    let text = well(template(&["--values", values.to_str().unwrap()]));
    assert!(!text.contains("monitoring.coreos.com"));
}
