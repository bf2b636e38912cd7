//! Environment variables of the application that set a timeout of their own.

use bulkhead_crds::Severity;
use bulkhead_crds::validate::application_env;

#[test]
fn an_application_with_timeouts_of_its_own_is_warned_about_without_its_secrets() {
    let findings = application_env(&[
        ("PGCONNECT_TIMEOUT", "5"),
        (
            "DATABASE_URL",
            "postgres://chat:hunter2@db/chat?connect_timeout=5",
        ),
        ("PGOPTIONS", "-c statement_timeout=5s"),
        ("REDIS_SOCKET_TIMEOUT", "1"),
        (
            "DATABASE_DSN",
            "host=db password=hunter2 connect_timeout = 5",
        ),
        // Not a database's, not a timeout, not a setting.
        ("GRACEFUL_SHUTDOWN_TIMEOUT", "30"),
        ("AWS_TIMEOUT_RETRIES", "3"),
        ("DATABASE_HOST", "db"),
        ("MOTD", "mind the timeout"),
    ]);
    let paths: Vec<&str> = findings
        .iter()
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "env[PGCONNECT_TIMEOUT]",
            "env[DATABASE_URL]",
            "env[PGOPTIONS]",
            "env[REDIS_SOCKET_TIMEOUT]",
            "env[DATABASE_DSN]"
        ]
    );
    assert!(
        findings
            .iter()
            .all(|finding| !finding.message.contains("hunter2"))
    );
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning)
    );
}
