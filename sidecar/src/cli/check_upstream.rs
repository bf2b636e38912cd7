//! `check`, as far as the upstreams go: reached as the policy says, and asked what may surprise their users.

use std::io::Write;
use std::sync::Arc;

use bulkhead_crds::effective::{EffectiveDatabase, EffectivePolicy};
use bulkhead_crds::kinds::Protocol;

use super::ask::print;
use super::check::print_diagnostics;
use super::check_clickhouse::check_clickhouse;
use crate::force::signing_keys;
use crate::policy::{Diagnostic, Severity};
use crate::protocol::redis;
use crate::secrets::Secrets;
use crate::upstream::finding::findings;
use crate::upstream::{Connector, ProbeError, ProbeReport, Resolver, probe};

/// Probes the policy's databases one after the other, each within its `timeouts.connect` and a little; prints a line for each
/// that answers to `out`, and what is to be mended to `complaints`. `false`: one of them cannot be used as the policy says.
pub async fn check_upstream(
    policy: &EffectivePolicy,
    secrets: &Arc<Secrets>,
    resolver: &Resolver,
    out: &mut impl Write,
    complaints: &mut impl Write,
) -> bool {
    let mut found = Vec::new();
    for database in &policy.databases {
        let connector = match Connector::new(database, secrets, resolver) {
            Ok(connector) => connector,
            Err(error) => {
                let message = error.to_string();
                found.push(told(database, Severity::Error, "Upstream", message));
                continue;
            }
        };
        match database.protocol {
            Protocol::PostgreSQL => match reach(&connector, database).await {
                Ok(report) => {
                    print(out, &line(database, &report));
                    // Keys that cannot be read are an error of the references, and told there.
                    let keys = signing_keys(database, secrets).ok().flatten();
                    found.extend(findings(&report, database, keys.as_deref()));
                }
                Err(diagnostic) => found.push(diagnostic),
            },
            Protocol::ClickHouse => {
                found.extend(check_clickhouse(&connector, database, out).await);
            }
            Protocol::Redis => found.extend(check_redis(&connector, database, out).await),
        }
    }
    print_diagnostics(&found, complaints);
    found.iter().all(|d| d.severity != Severity::Error)
}

/// What is to be mended of a database's upstream.
pub(super) fn told(
    database: &EffectiveDatabase,
    severity: Severity,
    reason: &str,
    message: String,
) -> Diagnostic {
    Diagnostic {
        severity,
        path: format!("databases[{}].upstream", database.name),
        reason: reason.to_owned(),
        message,
    }
}

/// Logs in to a Redis server, says what it is, and asks whether it lets the sidecar do what the policy wants.
async fn check_redis(
    connector: &Connector,
    database: &EffectiveDatabase,
    out: &mut impl Write,
) -> Option<Diagnostic> {
    match redis::probe(connector, database).await {
        Ok(report) => {
            print(out, &report.line(database));
            Some(Diagnostic {
                severity: Severity::Error,
                path: format!("databases[{}].session.acl", database.name),
                reason: "AclRights".to_owned(),
                message: report.acl_fault?,
            })
        }
        Err(error) => Some(told(
            database,
            Severity::Error,
            "Connect",
            error.to_string(),
        )),
    }
}

async fn reach(
    connector: &Connector,
    database: &EffectiveDatabase,
) -> Result<ProbeReport, Diagnostic> {
    probe(connector, database).await.map_err(|error| {
        // Without credentials the application's own role may still be let in, which only it can try.
        let (severity, reason) = match &error {
            ProbeError::NoRole(_) => (Severity::Warning, "NotProbed"),
            ProbeError::Credentials { .. } => (Severity::Error, "Credentials"),
            ProbeError::Connect(_) => (Severity::Error, "Connect"),
            ProbeError::Question { .. } => (Severity::Error, "Probe"),
        };
        told(database, severity, reason, error.to_string())
    })
}

fn line(database: &EffectiveDatabase, report: &ProbeReport) -> String {
    let server = &report.server;
    let hosts: Vec<String> = database.upstream.hosts().map(|it| it.to_string()).collect();
    format!(
        "databases[{}]: {} is PostgreSQL {}, database {:?}, role {:?}, {}; connected in {:.1} ms, round trip {:.2} ms\n\
         databases[{}]: SQL of one user {} what other sessions of role {:?} do{}\n",
        database.name,
        hosts.join(" or "),
        server.version,
        server.database,
        report.role.name,
        match report.encrypted {
            Some(true) => "TLS",
            Some(false) => "not encrypted",
            None => "encryption not shown to it",
        },
        report.connected_in.as_secs_f64() * 1000.0,
        report.round_trip.as_secs_f64() * 1000.0,
        database.name,
        if report.sees_others {
            "can see and end"
        } else {
            "cannot see or end"
        },
        report.role.name,
        if report.sees_others {
            ": where users can write SQL, see prove --print-hardening"
        } else {
            ", for the hardening file is applied"
        },
    )
}

#[cfg(test)]
mod tests {
    use bulkhead_crds::kinds::SecretRef;

    use super::*;
    use crate::policy::fixtures;

    async fn checked(databases: Vec<EffectiveDatabase>) -> (bool, String, String) {
        let secrets = Arc::new(Secrets::new(None));
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let usable = check_upstream(
            &fixtures::policy(databases),
            &secrets,
            &Resolver::system(),
            &mut out,
            &mut complaints,
        )
        .await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (usable, text(out), text(complaints))
    }

    #[tokio::test]
    async fn without_credentials_it_says_that_it_did_not_look() {
        let mut main = fixtures::database("main", 5432);
        main.upstream.credentials_secret_ref = None;
        main.upstream.tls_mode = bulkhead_crds::kinds::TlsMode::Disable;
        let (usable, out, complaints) = checked(vec![main]).await;
        assert!(usable, "{complaints}");
        assert_eq!(out, "");
        assert!(complaints.starts_with("warning[NotProbed]"), "{complaints}");
    }

    #[tokio::test]
    async fn an_upstream_that_cannot_be_used_is_an_error() {
        let mut main = fixtures::database("main", 5432);
        main.upstream.tls_mode = bulkhead_crds::kinds::TlsMode::VerifyFull;
        main.upstream.tls_ca_secret_ref = Some(SecretRef {
            name: "ca".to_owned(),
        });
        let (usable, _, complaints) = checked(vec![main]).await;
        assert!(!usable);
        assert!(complaints.starts_with("error[Upstream]"), "{complaints}");
        assert!(complaints.contains("ca/ca.crt"), "{complaints}");
    }
}
