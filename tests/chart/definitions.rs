//! The definitions of the chart: those of this build, upgraded with the release, and kept when it goes.

use serde_json::Value;

use crate::render::{objects, rendered};

fn definitions(text: &str) -> Vec<Value> {
    let all = objects(text).into_iter();
    let mut found: Vec<Value> = all
        .filter(|object| object["kind"] == "CustomResourceDefinition")
        .collect();
    found.sort_by_key(|object| object["metadata"]["name"].to_string());
    found
}

#[test]
fn the_chart_installs_the_definitions_that_people_apply() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|it| it == "yaml"));
    let texts: Vec<String> = files
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let applied = definitions(&texts.join("\n---\n"));
    let installed = definitions(&rendered("default", &[]));
    assert!(!applied.is_empty());
    let names = |all: &[Value]| -> Vec<String> {
        all.iter()
            .map(|it| it["metadata"]["name"].to_string())
            .collect()
    };
    assert_eq!(names(&installed), names(&applied));
    for (installed, applied) in installed.iter().zip(&applied) {
        assert!(
            installed["spec"] == applied["spec"],
            "{} is stale: cargo run -p bulkhead-operator -- crds > charts/bulkhead/files/crds.yaml",
            applied["metadata"]["name"]
        );
    }
}

#[test]
fn they_stay_when_the_release_goes() {
    for definition in definitions(&rendered("default", &[])) {
        assert_eq!(
            definition["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
    }
}

#[test]
fn they_may_be_left_to_somebody_else() {
    assert!(definitions(&rendered("default", &["--set", "crds.install=false"])).is_empty());
}
