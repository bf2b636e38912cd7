//! The dashboards: that Grafana can load them, that each panel says what it shows, and that the chart ships them.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::alerts::docs;
use crate::render::{chart, objects, rendered};

/// Units of Grafana's that are in use; another one is a slip of the pen until it stands here.
const UNITS: [&str; 6] = ["short", "s", "bytes", "percentunit", "cps", "ops"];

/// Variables that Grafana itself sets.
const BUILT_IN: [&str; 2] = ["__rate_interval", "__all"];

struct Dashboard {
    name: String,
    json: Value,
}

fn dashboards() -> Vec<Dashboard> {
    let entries = std::fs::read_dir(chart("files/dashboards")).unwrap();
    let mut all: Vec<Dashboard> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            Dashboard {
                name: path.file_name().unwrap().to_str().unwrap().to_owned(),
                json: serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
            }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

impl Dashboard {
    fn panels(&self) -> &Vec<Value> {
        self.json["panels"].as_array().unwrap()
    }

    /// The panels that show something.
    fn shown(&self) -> impl Iterator<Item = &Value> {
        self.panels().iter().filter(|panel| panel["type"] != "row")
    }

    fn variables(&self) -> &Vec<Value> {
        self.json["templating"]["list"].as_array().unwrap()
    }

    fn queries(&self) -> Vec<String> {
        let targets = self
            .shown()
            .flat_map(|panel| panel["targets"].as_array().unwrap());
        targets
            .map(|target| target["expr"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn there_is_one_for_each_part() {
    let names: Vec<String> = dashboards().into_iter().map(|it| it.name).collect();
    for part in [
        "overview",
        "isolation",
        "postgresql",
        "websockets",
        "operator",
    ] {
        assert!(names.contains(&format!("{part}.json")), "{part}");
    }
    let page = std::fs::read_to_string(docs("alerts.md")).unwrap();
    for dashboard in dashboards() {
        let title = dashboard.json["title"].as_str().unwrap();
        assert!(
            page.contains(&format!("| {title} |")),
            "docs/alerts.md: {title}"
        );
    }
}

#[test]
fn grafana_finds_each_under_its_own_name() {
    let mut seen = BTreeSet::new();
    for dashboard in dashboards() {
        let (name, json) = (&dashboard.name, &dashboard.json);
        let uid = json["uid"].as_str().unwrap();
        assert_eq!(format!("{uid}.json"), format!("bulkhead-{name}"));
        assert!(seen.insert(json["title"].to_string()), "{name}: its title");
        assert!(json["title"].as_str().unwrap().starts_with("Bulkhead / "));
        assert_eq!(json["tags"], serde_json::json!(["bulkhead"]), "{name}");
        assert!(json["schemaVersion"].as_u64().unwrap() >= 39, "{name}");
        assert!(
            json.get("id").is_none(),
            "{name}: an id is one Grafana's own"
        );
    }
}

#[test]
fn each_panel_has_its_place_a_unit_and_a_word_of_what_it_shows() {
    for dashboard in dashboards() {
        let name = &dashboard.name;
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        assert_eq!(
            dashboard.panels()[0]["type"],
            "row",
            "{name} begins with a row"
        );
        for panel in dashboard.panels() {
            let title = format!("{name}: {}", panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id");
            let of = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(
                of("w") > 0 && of("x") + of("w") <= 24,
                "{title} is too wide"
            );
            for x in of("x")..of("x") + of("w") {
                for y in of("y")..of("y") + of("h") {
                    assert!(taken.insert((x, y)), "{title} lies on another panel");
                }
            }
        }
        for panel in dashboard.shown() {
            let title = format!("{name}: {}", panel["title"]);
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
            assert!(
                UNITS.contains(&unit.unwrap_or_default()),
                "{title}: {unit:?}"
            );
            let described = panel["description"].as_str().unwrap_or_default();
            assert!(described.ends_with('.'), "{title} is not described");
            let kind = panel["type"].as_str().unwrap();
            assert!(
                ["stat", "timeseries", "table"].contains(&kind),
                "{title}: {kind}"
            );
        }
    }
}

#[test]
fn each_query_asks_the_source_that_is_chosen() {
    for dashboard in dashboards() {
        for panel in dashboard.shown() {
            let title = format!("{}: {}", dashboard.name, panel["title"]);
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{title} asks nothing");
            let mut references = BTreeSet::new();
            for target in targets.iter().chain([panel]) {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
                assert_eq!(target["datasource"]["type"], "prometheus", "{title}");
            }
            for target in targets {
                assert!(references.insert(target["refId"].to_string()), "{title}");
            }
        }
    }
}

/// The variables that a text uses: `$name`, `${name}`.
fn used(text: &str) -> BTreeSet<String> {
    let uses = text.split('$').skip(1).map(|rest| {
        let rest = rest.trim_start_matches('{');
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    uses.filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_variable_is_used_and_every_used_one_is_there() {
    for dashboard in dashboards() {
        let mut there: BTreeSet<String> = BTreeSet::new();
        let mut asked = used(&dashboard.queries().join(" "));
        asked.insert("datasource".to_owned());
        for variable in dashboard.variables() {
            there.insert(variable["name"].as_str().unwrap().to_owned());
            asked.extend(used(
                variable["query"]["query"].as_str().unwrap_or_default(),
            ));
        }
        asked.retain(|name| !BUILT_IN.contains(&name.as_str()));
        assert_eq!(asked, there, "{}", dashboard.name);
    }
}

#[test]
fn every_link_leads_to_a_runbook() {
    for dashboard in dashboards() {
        for panel in dashboard.shown() {
            for link in panel["links"].as_array().into_iter().flatten() {
                let alert = link["title"].as_str().unwrap();
                assert!(docs(&format!("runbooks/{alert}.md")).exists(), "{alert}");
                let url = link["url"].as_str().unwrap();
                assert!(
                    url.ends_with(&format!("/docs/runbooks/{alert}.md")),
                    "{url}"
                );
            }
        }
    }
}

/// A query as Prometheus is asked it, with every variable at "all".
fn spelled_out(query: &str) -> String {
    query
        .replace("$__rate_interval", "1m")
        .replace("$namespace", ".*")
        .replace("$upstream", ".*")
}

#[test]
fn prometheus_can_read_every_query() {
    let mut rules = Vec::new();
    for dashboard in dashboards() {
        for query in dashboard.queries() {
            let record = format!("query_{}", rules.len());
            rules.push(serde_json::json!({"record": record, "expr": spelled_out(&query)}));
        }
    }
    assert!(rules.len() > 60, "{}", rules.len());
    let file = bulkhead_tests::processes::folder("dashboards").join("queries.yaml");
    let groups = serde_json::json!({"groups": [{"name": "dashboards", "rules": rules}]});
    std::fs::write(&file, groups.to_string()).unwrap();
    let output = Command::new("promtool")
        .arg("check")
        .arg("rules")
        .arg(&file)
        .output();
    let output = output.expect("promtool starts: tests/setup/ensure promtool installs it");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_chart_ships_them_where_somebody_wants_them() {
    let config_maps = |more: &[&str]| -> Vec<Value> {
        let all = objects(&rendered("monitoring", more));
        let is_ours = |object: &Value| {
            let name = object["metadata"]["name"].as_str().unwrap();
            object["kind"] == "ConfigMap" && name.starts_with("bulkhead-dashboard-")
        };
        all.into_iter().filter(is_ours).collect()
    };
    assert!(config_maps(&[]).is_empty(), "off unless asked for");
    let made = config_maps(&[
        "--set",
        "monitoring.dashboards.enabled=true",
        "--set",
        "monitoring.dashboards.annotations.grafana_folder=Platform",
    ]);
    assert_eq!(made.len(), dashboards().len());
    for dashboard in dashboards() {
        let key = format!("bulkhead-{}", dashboard.name);
        let map = made.iter().find(|map| map["data"].get(&key).is_some());
        let map = map.unwrap_or_else(|| panic!("no ConfigMap has {key}"));
        let shipped: Value = serde_json::from_str(map["data"][&key].as_str().unwrap()).unwrap();
        assert_eq!(shipped, dashboard.json);
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        assert_eq!(map["metadata"]["annotations"]["grafana_folder"], "Platform");
    }
}
