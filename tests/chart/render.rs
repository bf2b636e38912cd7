//! The chart as helm renders it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bulkhead_tests::cluster::program;
use serde::Deserialize as _;
use serde_json::Value;

/// The release's namespace.
pub(crate) const NAMESPACE: &str = "bulkhead-system";

/// A path of the chart.
pub(crate) fn chart(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../charts/bulkhead")
        .join(path)
}

/// A file beside the tests.
pub(crate) fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("chart")
        .join(path)
}

/// The value sets that the tests render: the files of `values/`.
pub(crate) fn value_sets() -> Vec<String> {
    let entries = std::fs::read_dir(beside("values")).unwrap();
    let names = entries.map(|entry| {
        entry
            .unwrap()
            .path()
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Runs helm against nothing.
pub(crate) fn helm(arguments: &[&str]) -> Output {
    Command::new(program("helm"))
        .args(arguments)
        .env_remove("KUBECONFIG")
        .output()
        .expect("helm starts")
}

/// Runs `helm template` with more arguments.
pub(crate) fn template(more: &[&str]) -> Output {
    let chart = chart("");
    let mut arguments = vec![
        "template",
        "bulkhead",
        chart.to_str().unwrap(),
        "--namespace",
        NAMESPACE,
    ];
    if !more.contains(&"--kube-version") {
        arguments.extend(["--kube-version", "1.36.0"]);
    }
    arguments.extend(more);
    helm(&arguments)
}

/// What helm renders for a value set, with the monitoring APIs served.
pub(crate) fn rendered(values: &str, more: &[&str]) -> String {
    let file = beside(&format!("values/{values}.yaml"));
    let mut arguments = vec![
        "--api-versions",
        "monitoring.coreos.com/v1",
        "--values",
        file.to_str().unwrap(),
    ];
    arguments.extend(more);
    well(template(&arguments))
}

/// The output of a command that must have gone well.
pub(crate) fn well(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The objects of a rendering.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("helm renders YAML"))
        .filter(|object| !object.is_null())
        .collect()
}
