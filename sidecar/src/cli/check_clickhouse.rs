//! `check`, as far as a ClickHouse goes: reached as the policy says, and asked what may surprise its users.

use std::io::Write;

use bulkhead_crds::effective::EffectiveDatabase;

use super::ask::print;
use super::check_upstream::told;
use crate::policy::{Diagnostic, Severity};
use crate::protocol::clickhouse::{ClickHouseProbeError, Probed, probe};
use crate::upstream::Connector;

/// Probes one; prints a line for one that answers to `out`. What is to be mended comes back.
pub(super) async fn check_clickhouse(
    connector: &Connector,
    database: &EffectiveDatabase,
    out: &mut impl Write,
) -> Option<Diagnostic> {
    match probe(connector, database).await {
        Ok(probed) => {
            print(out, &line(database, &probed));
            finding(database, &probed)
        }
        Err(error) => Some(trouble(database, &error)),
    }
}

fn line(database: &EffectiveDatabase, probed: &Probed) -> String {
    let hosts: Vec<String> = database.upstream.hosts().map(|it| it.to_string()).collect();
    format!(
        "databases[{}]: {} is ClickHouse {}, user {:?}, {}; connected in {:.1} ms, round trip {:.2} ms\n",
        database.name,
        hosts.join(" or "),
        probed.version,
        probed.user,
        if probed.encrypted {
            "TLS"
        } else {
            "not encrypted"
        },
        probed.connected_in.as_secs_f64() * 1000.0,
        probed.round_trip.as_secs_f64() * 1000.0,
    )
}

/// What a server says of itself that does not go with the policy.
fn finding(database: &EffectiveDatabase, probed: &Probed) -> Option<Diagnostic> {
    (probed.readonly == 1).then(|| {
        let message = format!(
            "the profile of user {:?} has readonly = 1, under which the server refuses max_execution_time and whatever else the sidecar gives a query; readonly = 2 keeps users from writing and takes settings",
            probed.user
        );
        told(database, Severity::Error, "ReadOnlyProfile", message)
    })
}

fn trouble(database: &EffectiveDatabase, error: &ClickHouseProbeError) -> Diagnostic {
    use ClickHouseProbeError as E;
    let (severity, reason) = match error {
        E::NobodyToAskAs => (Severity::Warning, "NotProbed"),
        E::Credentials(_) | E::Account(_) => (Severity::Error, "Credentials"),
        E::Connect(_) => (Severity::Error, "Connect"),
        E::Silent(_) | E::Refused { .. } | E::Strange(_) => (Severity::Error, "Probe"),
    };
    told(database, severity, reason, error.to_string())
}
