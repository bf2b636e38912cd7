//! Findings as SARIF 2.1.0, which code scanning reads.
//!
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::report::{Located, severity};

/// The log of one run.
pub(super) fn document(findings: &[Located]) -> Result<String, serde_json::Error> {
    // A rule is described by the first thing that it found.
    let mut rules: BTreeMap<&str, &Located> = BTreeMap::new();
    for finding in findings {
        rules.entry(&finding.reason).or_insert(finding);
    }
    let order: Vec<&str> = rules.keys().copied().collect();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| result(finding, &order))
        .collect();
    let rules: Vec<Value> = rules
        .into_iter()
        .map(|(reason, first)| rule(reason, first))
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "bulkhead-operator", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    Ok(serde_json::to_string_pretty(&log)? + "\n")
}

fn rule(reason: &str, first: &Located) -> Value {
    json!({
        "id": reason,
        "name": reason,
        "defaultConfiguration": {"level": severity(first.severity)},
    })
}

fn result(finding: &Located, rules: &[&str]) -> Value {
    let about = if finding.path.is_empty() {
        String::new()
    } else {
        format!("{}: ", finding.path)
    };
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&finding.file)},
            "region": {"startLine": finding.line},
        },
    });
    let full = format!("{} {}", finding.object, finding.path);
    if !full.trim().is_empty() {
        location["logicalLocations"] =
            json!([{"fullyQualifiedName": full.trim(), "kind": "member"}]);
    }
    json!({
        "ruleId": finding.reason,
        "ruleIndex": rules.iter().position(|rule| *rule == finding.reason),
        "level": severity(finding.severity),
        "message": {"text": format!("{about}{}", finding.message)},
        "locations": [location],
    })
}

/// A relative path as a URI reference (RFC 3986): what may not stand in one is percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.trim_start_matches("./").bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(byte.into());
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use bulkhead_crds::Severity;

    use super::*;

    fn finding(reason: &str, severity: Severity, line: usize) -> Located {
        Located {
            file: "./a b.yaml".into(),
            line,
            object: "Service shop/web".to_owned(),
            path: "spec.ports[0]".to_owned(),
            severity,
            reason: reason.to_owned(),
            message: "goes round".to_owned(),
        }
    }

    #[test]
    fn every_result_points_at_its_rule_and_its_line() {
        let findings = [
            finding("NumericService", Severity::Warning, 3),
            finding("Malformed", Severity::Error, 9),
            finding("NumericService", Severity::Warning, 5),
        ];
        let log: Value = serde_json::from_str(&document(&findings).unwrap()).unwrap();
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 2);
        for (result, finding) in run["results"].as_array().unwrap().iter().zip(&findings) {
            let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
            assert_eq!(rule["id"], finding.reason.as_str());
            assert_eq!(result["ruleId"], finding.reason.as_str());
            let place = &result["locations"][0]["physicalLocation"];
            assert_eq!(place["region"]["startLine"], finding.line);
            assert_eq!(place["artifactLocation"]["uri"], "a%20b.yaml");
        }
    }
}
