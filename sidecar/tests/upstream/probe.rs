//! The probe of `check`: what it finds, and what it tells when there is nothing to find it with.

use bulkhead_crds::kinds::{SecretRef, TlsMode};
use bulkhead_sidecar::upstream::finding::findings;
use bulkhead_sidecar::upstream::{ProbeError, ProbeReport, probe};

use crate::support::Entry;
use crate::support::certificates::Authority;
use crate::support::postgres::Postgres;
use crate::support::query::ask;

async fn report(entry: &Entry) -> ProbeReport {
    probe(&entry.connector(), &entry.database).await.unwrap()
}

fn reasons(report: &ProbeReport, entry: &Entry) -> Vec<String> {
    let found = findings(report, &entry.database, None);
    found.into_iter().map(|finding| finding.reason).collect()
}

#[tokio::test]
async fn an_ordinary_role_is_reported_over_the_connection_that_the_policy_describes() {
    let authority = Authority::new();
    let server = Postgres::start(Some(&authority.server(&["localhost"])));
    let mut entry = Entry::new("localhost", server.port)
        .credentials("scrammy", "correct horse")
        .tls(TlsMode::VerifyFull, Some(&authority.pem()));
    entry.database.pool.max_connections = 20;
    let report = report(&entry).await;
    assert!(report.server.version.starts_with("15."));
    assert_eq!(report.server.database, "postgres");
    assert_eq!(report.server.max_connections, 50);
    assert!(report.encrypted == Some(true) && !report.server.standby);
    assert_eq!(report.role.name, "scrammy");
    assert!(report.round_trip <= report.connected_in);
    assert_eq!(reasons(&report, &entry), Vec::<String>::new());
}

#[tokio::test]
async fn a_role_that_row_level_security_does_not_hold_is_found() {
    let server = Postgres::start(None);
    for (role, max_connections, expected) in [
        ("postgres", 20, &["Superuser"][..]),
        ("unruly", 20, &["BypassRls", "MoreThanTheServerAllows"]),
        (
            "climber",
            200,
            &["MayBecomePrivileged", "MoreThanTheServerAllows"],
        ),
    ] {
        let mut entry = Entry::new("127.0.0.1", server.port).credentials(role, "unused");
        entry.database.pool.max_connections = max_connections;
        let report = report(&entry).await;
        assert_eq!(reasons(&report, &entry), expected, "{role}");
    }

    let mut entry = Entry::new("127.0.0.1", server.port).credentials("trusty", "unused");
    entry.database.pool.max_connections = 20;
    let mut admin = entry.connect("postgres").await.unwrap();
    for sql in [
        "CREATE TABLE notes (owner text)",
        "ALTER TABLE notes ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE notes OWNER TO trusty",
    ] {
        ask(&mut admin, sql).await.unwrap();
    }
    let owner = report(&entry).await;
    assert_eq!(owner.unforced_tables, ["notes"]);
    assert_eq!(reasons(&owner, &entry), ["UnforcedRowSecurity"]);
    ask(&mut admin, "ALTER TABLE notes FORCE ROW LEVEL SECURITY")
        .await
        .unwrap();
    assert_eq!(reasons(&report(&entry).await, &entry), Vec::<String>::new());
}

#[tokio::test]
async fn what_keeps_it_from_connecting_is_the_connectors_own_error() {
    let server = Postgres::shared();
    let entry = Entry::new("127.0.0.1", server.port).credentials("scrammy", "hunter2");
    let error = probe(&entry.connector(), &entry.database)
        .await
        .unwrap_err();
    assert!(matches!(error, ProbeError::Connect(_)));
    assert!(error.to_string().contains("SQLSTATE 28P01"), "{error}");

    let entry = Entry::new("127.0.0.1", server.port);
    let error = probe(&entry.connector(), &entry.database)
        .await
        .unwrap_err();
    assert!(matches!(error, ProbeError::NoRole(_)));

    // Named and not there is another matter than not named.
    let mut entry = Entry::new("127.0.0.1", server.port);
    entry.database.upstream.credentials_secret_ref = Some(SecretRef {
        name: "nosuch".to_owned(),
    });
    let error = probe(&entry.connector(), &entry.database)
        .await
        .unwrap_err();
    assert!(matches!(error, ProbeError::Credentials { .. }));
    assert!(error.to_string().contains("nosuch/username"), "{error}");
    assert!(
        error
            .to_string()
            .contains("databases[main].upstream.credentialsSecretRef")
    );
}
