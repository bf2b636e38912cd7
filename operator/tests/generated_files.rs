//! The files that are generated from the schema are the ones that it generates now.

#![allow(clippy::expect_used)]

use std::path::Path;
use std::process::Command;

/// What the binary prints for these arguments.
fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead-operator"))
        .args(arguments)
        .output()
        .expect("the binary starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn assert_fresh(file: &str, arguments: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let command = format!(
        "cargo run -p bulkhead-operator -- {} > {file}",
        arguments.join(" ")
    );
    assert!(
        kept == printed(arguments),
        "{file} is stale; renew it by\n\n    {command}\n"
    );
}

#[test]
fn the_definition_that_people_apply_is_the_one_of_this_build() {
    for (file, kind) in [
        ("crds/isolationpolicies.yaml", "IsolationPolicy"),
        ("crds/injectiontemplates.yaml", "InjectionTemplate"),
        ("crds/userrevocations.yaml", "UserRevocation"),
    ] {
        assert_fresh(file, &["crds", "--kind", kind]);
    }
}

#[test]
fn the_schema_that_policies_are_read_by_is_the_one_of_this_build() {
    let arguments = ["crds", "--format", "json-schema"];
    assert_fresh("crds/src/schema/isolationpolicy.schema.json", &arguments);
    let arguments = [
        "crds",
        "--kind",
        "UserRevocation",
        "--format",
        "json-schema",
    ];
    assert_fresh("crds/src/schema/userrevocation.schema.json", &arguments);
}

#[test]
fn the_definitions_that_the_chart_installs_are_the_ones_of_this_build() {
    assert_fresh("charts/bulkhead/files/crds.yaml", &["crds"]);
}

#[test]
fn the_reference_that_people_read_is_the_one_of_this_build() {
    assert_fresh("docs/policy.md", &["crds", "--format", "markdown"]);
}

#[test]
fn an_unknown_subcommand_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead-operator"))
        .arg("run")
        .output()
        .expect("the binary starts");
    assert!(!output.status.success());
}
