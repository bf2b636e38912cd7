//! What a judgement comes to: where a finding points, what comes first, and whom it hinders.

use bulkhead_crds::validate::validate;
use bulkhead_crds::{Finding, Severity, resolve};

use crate::writing::policy_but;

#[test]
fn a_fault_of_one_environment_is_reported_there_and_hinders_no_other() {
    // Given an overlay that switches off what cannot be.
    let policy = policy_but(&[(
        "environments",
        "[{name: staging, databases: [{name: main, timeouts: {connect: 0s}}]}, {name: production}]",
    )]);

    // When the policy is judged, then the finding points into the overlay.
    let findings = validate(&policy);
    let paths: Vec<&str> = findings
        .iter()
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(
        paths,
        ["spec.environments[staging].databases[main].timeouts.connect"]
    );

    // And the other environment is served.
    assert!(resolve(&policy, "staging").is_err());
    assert!(resolve(&policy, "production").is_ok());
}

#[test]
fn a_fault_in_a_list_that_an_overlay_replaces_is_reported_there() {
    let socket = (
        "webSockets",
        "[{name: chat, upstream: {port: 8000}, timeouts: {handshake: 20s}}]",
    );
    let overlay = (
        "environments",
        "[{name: staging, webSockets: [{name: chat, tokens: [{source: Header}], criticalEvents: [/kind]}]}]",
    );
    let findings = validate(&policy_but(&[socket, overlay]));
    let paths: Vec<&str> = findings
        .iter()
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "spec.environments[staging].webSockets[chat].tokens[0].key",
            "spec.environments[staging].webSockets[chat].criticalEvents[0]",
        ]
    );
}

#[test]
fn a_fault_of_the_base_is_told_once_and_one_that_an_overlay_brings_out_says_where() {
    let base = policy_but(&[
        ("databases/0/timeouts/statement", "90s"),
        ("environments", "[{name: staging}, {name: production}]"),
    ]);
    assert_eq!(validate(&base).len(), 1);

    // The statement is the base's, and the transaction's end the overlay's.
    let together = policy_but(&[
        ("databases/0/timeouts/statement", "50s"),
        (
            "environments",
            "[{name: staging, databases: [{name: main, timeouts: {transaction: 40s}}]}]",
        ),
    ]);
    let findings = validate(&together);
    let [Finding { path, message, .. }] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    assert_eq!(path, "spec.databases[main].timeouts.statement");
    assert!(message.ends_with("(in environment staging)"), "{message}");
}

#[test]
fn errors_come_before_warnings() {
    let findings = validate(&policy_but(&[
        ("selector", "{}"),
        ("databases/0/timeouts", "{connect: 0s, statement: 2m}"),
    ]));
    let severities: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(
        severities,
        [Severity::Error, Severity::Warning, Severity::Warning]
    );
}
