//! The command lines that the chart writes are ones that this build takes.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use bulkhead_operator::cli::Arguments;
use clap::Parser as _;
use serde::Deserialize as _;
use serde_json::Value;

/// The chart's renderings that a test of the chart keeps fresh.
fn snapshots() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/chart/snapshots");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect()
}

/// The arguments of every container of an object.
fn command_lines(object: &Value) -> Vec<Vec<String>> {
    let template = object["spec"].get("template").unwrap_or(object);
    let containers = template["spec"]["containers"].as_array();
    let arguments = |container: &Value| {
        let all = container["args"].as_array().into_iter().flatten();
        all.map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    containers.into_iter().flatten().map(arguments).collect()
}

#[test]
fn every_command_line_of_the_chart_is_understood() {
    let mut seen = 0;
    for file in snapshots() {
        let text = std::fs::read_to_string(&file).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let object = Value::deserialize(document).unwrap();
            for arguments in command_lines(&object) {
                let line = std::iter::once("bulkhead-operator".to_owned()).chain(arguments.clone());
                if let Err(error) = Arguments::try_parse_from(line) {
                    panic!("{}: {arguments:?}: {error}", file.display());
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen} command lines");
}
