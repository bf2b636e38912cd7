//! What `lint` writes for code scanning is SARIF, by the standard's own schema.
//!
//! `sarif-schema-2.1.0.json` is OASIS's, of SARIF 2.1.0 with Errata 01, byte for byte:
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json>

use std::path::Path;
use std::process::Command;

use bulkhead_tests::{processes, programs};

const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/operator/sarif-schema-2.1.0.json"
);

/// Prints each fault of the log that is its second argument.
const JUDGE: &str = "\
import json, sys
from jsonschema import Draft4Validator, FormatChecker

schema, log = (json.load(open(path)) for path in sys.argv[1:3])
Draft4Validator.check_schema(schema)
# Draft 4 has not every format that the schema names, and a format without a checker would pass.
formats = FormatChecker()
assert {'date-time', 'uri', 'uri-reference'} <= set(formats.checkers)
for fault in Draft4Validator(schema, format_checker=formats).iter_errors(log):
    print(f'{fault.json_path}: {fault.message}')
";

/// What the schema has against the log in `file`.
fn faults(file: &Path) -> String {
    let judged = Command::new(programs::python())
        .args(["-c", JUDGE, SCHEMA])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "{said}");
    String::from_utf8(judged.stdout).unwrap()
}

/// Lints what is in `folder`, by the names that its files have from there; the log comes into a file.
fn linted(folder: &Path, files: &[&str]) -> std::path::PathBuf {
    let output = Command::new(programs::operator())
        .current_dir(folder)
        .args(["lint", "--format", "sarif", "-f"])
        .args(files)
        .output()
        .unwrap();
    let log = folder.join("log.sarif");
    std::fs::write(&log, output.stdout).unwrap();
    log
}

const SOUND: &str = "\
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat, namespace: shop}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: SignedContext}
  databases:
  - name: main
    protocol: PostgreSQL
    upstream: {host: db, credentialsSecretRef: {name: chat-db}}
";

#[test]
fn whatever_lint_finds_is_sarif_by_the_schema_of_the_standard() {
    let folder = processes::folder("sarif");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let around = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: chat}}
spec:
  hostNetwork: true
  containers:
  - {name: app, envFrom: [{secretRef: {name: chat-db}}]}
";
    write("sound.yaml", SOUND);
    write("with a blank, ünd: %25.yaml", around);
    write("wrong.yaml", &SOUND.replace("PostgreSQL", "Postgres"));
    write("no.yaml", "a: [");
    let every = [
        "sound.yaml",
        "with a blank, ünd: %25.yaml",
        "wrong.yaml",
        "no.yaml",
        "/no/such/file.yaml",
    ];
    // Given nothing that is wrong, and then one thing of every sort.
    for (files, results) in [(&every[..1], 0..1), (&every[..], 5..100)] {
        // When it is linted for code scanning
        let log = linted(&folder, files);
        let text = std::fs::read_to_string(&log).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        let found = parsed["runs"][0]["results"].as_array().unwrap().len();
        assert!(results.contains(&found), "{found} results: {text}");
        // Then the schema has nothing against it
        assert_eq!(faults(&log), "", "{text}");
    }
}

#[test]
fn the_schema_is_one_that_finds_faults() {
    let folder = processes::folder("sarif-faults");
    let log = folder.join("log.sarif");
    let text = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": [
        {"message": {"text": "m"}, "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": "a b"}, "region": {"startLine": 0}}}]}]}]}"#;
    std::fs::write(&log, text).unwrap();
    let faults = faults(&log);
    assert!(
        faults.contains("region.startLine: 0 is less than the minimum of 1")
            && faults.contains("artifactLocation.uri: 'a b' is not a 'uri-reference'"),
        "{faults}"
    );
}
