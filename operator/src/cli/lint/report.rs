//! Findings in files, as lines for people and as JSON for scripts.

use std::fmt::Write as _;
use std::sync::Arc;

use bulkhead_crds::Severity;

/// One finding, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The object (`IsolationPolicy shop/chat`); empty where a file could not be read.
    pub object: String,
    /// The field; empty where it is about the object as a whole.
    pub path: String,
    /// How grave it is.
    pub severity: Severity,
    /// The rule, in one CamelCase word.
    pub reason: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Errors and warnings.
pub(super) fn count(findings: &[Located]) -> (usize, usize) {
    let errors = findings
        .iter()
        .filter(|it| it.severity == Severity::Error)
        .count();
    (errors, findings.len() - errors)
}

/// `1 error, 2 warnings`.
pub(super) fn counted(errors: usize, warnings: usize) -> String {
    let plural = |number: usize| if number == 1 { "" } else { "s" };
    format!(
        "{errors} error{}, {warnings} warning{}",
        plural(errors),
        plural(warnings)
    )
}

pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A line a finding, as compilers write them: `file:line: severity: object: field: message [Reason]`.
pub(super) fn text(findings: &[Located]) -> String {
    let mut text = String::new();
    for it in findings {
        let place: String = [it.object.as_str(), it.path.as_str()]
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| format!("{part}: "))
            .collect();
        let message = it.message.replace('\n', " ");
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}:{}: {}: {place}{message} [{}]",
            it.file,
            it.line,
            severity(it.severity),
            it.reason
        );
    }
    text
}

/// One object with all findings and their number.
pub(super) fn json(findings: &[Located]) -> Result<String, serde_json::Error> {
    let all: Vec<_> = findings
        .iter()
        .map(|it| {
            serde_json::json!({
                "file": &*it.file, "line": it.line, "object": it.object, "path": it.path,
                "severity": severity(it.severity), "reason": it.reason, "message": it.message,
            })
        })
        .collect();
    let (errors, warnings) = count(findings);
    let document = serde_json::json!({"findings": all, "errors": errors, "warnings": warnings});
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
