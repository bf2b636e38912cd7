//! The chart renders what it rendered when somebody last looked.

use crate::render::{beside, chart, helm, objects, rendered, value_sets, well};

#[test]
fn the_linter_has_nothing_to_say() {
    for values in value_sets() {
        let file = beside(&format!("values/{values}.yaml"));
        well(helm(&[
            "lint",
            "--strict",
            chart("").to_str().unwrap(),
            "--values",
            file.to_str().unwrap(),
        ]));
    }
}

/// `BULKHEAD_SNAPSHOTS=write cargo test -p bulkhead-tests --test chart` writes them; the difference is for a reviewer to read.
#[test]
fn the_main_value_sets_render_what_a_reviewer_has_read() {
    let write = std::env::var("BULKHEAD_SNAPSHOTS").is_ok_and(|it| it == "write");
    let mut stale = Vec::new();
    for values in value_sets() {
        // The definitions are generated, and have a test of their own.
        let now = rendered(&values, &["--set", "crds.install=false"]);
        let file = beside(&format!("snapshots/{values}.yaml"));
        if write {
            std::fs::write(&file, &now).unwrap();
        }
        if std::fs::read_to_string(&file).unwrap_or_default() != now {
            stale.push(file.display().to_string());
        }
    }
    assert!(
        stale.is_empty(),
        "the chart renders something else than {stale:?}: run the test with BULKHEAD_SNAPSHOTS=write and read the difference"
    );
}

#[test]
fn every_object_says_whose_it_is() {
    for values in value_sets() {
        for object in objects(&rendered(&values, &[])) {
            let is_test = object["metadata"]["annotations"]["helm.sh/hook"] == "test";
            let label = &object["metadata"]["labels"]["app.kubernetes.io/instance"];
            assert!(
                is_test || label == "bulkhead",
                "{values}: {} {}",
                object["kind"],
                object["metadata"]["name"]
            );
        }
    }
}

#[test]
fn one_replica_has_no_disruption_budget_that_would_block_its_node() {
    let kinds = |values: &str| -> Vec<String> {
        let all = objects(&rendered(values, &[]));
        all.iter()
            .map(|object| object["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(kinds("default").contains(&"PodDisruptionBudget".to_owned()));
    assert!(!kinds("everything").contains(&"PodDisruptionBudget".to_owned()));
}
