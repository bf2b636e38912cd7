//! What is unwise about an upstream, each with a sentence that says how to mend it.
//!
//! Lives here: pure judgement of a [`ProbeReport`] against the policy's entry. May not live here: asking.

mod signed;

use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::TargetSessionAttrs;

use super::probe::ProbeReport;
use crate::policy::{Diagnostic, Severity};
use crate::signed::SigningKeys;

/// Judges a report. Nothing here keeps the policy from being used, so all of it is a warning; but where row-level security is to hold
/// against SQL, whatever sets it aside is an error, and so is what `signed` finds.
#[must_use]
pub fn findings(
    report: &ProbeReport,
    database: &EffectiveDatabase,
    keys: Option<&SigningKeys>,
) -> Vec<Diagnostic> {
    let judge = Judge { report, database };
    let mut found = judge.all();
    if let Some(facts) = &report.signed {
        found.extend(signed::findings(facts, report, database, keys));
    }
    found
}

impl Judge<'_> {
    fn all(&self) -> Vec<Diagnostic> {
        let judge = self;
        [
            judge.superuser(),
            judge.bypasses_rls(),
            judge.may_become(),
            judge.unforced_tables(),
            judge.connection_limit(),
            judge.standby(),
            judge.slow(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

struct Judge<'a> {
    report: &'a ProbeReport,
    database: &'a EffectiveDatabase,
}

impl Judge<'_> {
    fn superuser(&self) -> Option<Diagnostic> {
        let role = &self.report.role;
        role.superuser.then(|| {
            self.of_row_security("upstream.credentialsSecretRef", "Superuser", format!(
                "role {:?} is a superuser: row-level security and every GRANT are without effect, and SQL of one user reaches all others\n{}",
                role.name, OWN_ROLE
            ))
        })
    }

    fn bypasses_rls(&self) -> Option<Diagnostic> {
        let role = &self.report.role;
        (role.bypasses_rls && !role.superuser).then(|| {
            self.of_row_security("upstream.credentialsSecretRef", "BypassRls", format!(
                "role {0:?} has BYPASSRLS: row-level security is without effect\nrun ALTER ROLE {1} NOBYPASSRLS",
                role.name, quoted(&role.name)
            ))
        })
    }

    fn may_become(&self) -> Option<Diagnostic> {
        let roles = &self.report.may_become;
        (!roles.is_empty() && !self.report.role.superuser).then(|| {
            let revoke: Vec<String> = roles.iter().map(|role| quoted(role)).collect();
            self.of_row_security("upstream.credentialsSecretRef", "MayBecomePrivileged", format!(
                "role {:?} may SET ROLE to {}, for whom row-level security does not hold\nrun REVOKE {} FROM {}",
                self.report.role.name, roles.join(", "), revoke.join(", "), quoted(&self.report.role.name)
            ))
        })
    }

    fn unforced_tables(&self) -> Option<Diagnostic> {
        let tables = self.report.unforced_tables.as_slice();
        let first = tables.first()?;
        (!self.report.role.superuser && !self.report.role.bypasses_rls).then(|| {
            self.of_row_security("upstream.credentialsSecretRef", "UnforcedRowSecurity", format!(
                "role {:?} owns tables whose row-level security does not hold for their owner: {}\nrun ALTER TABLE {first} FORCE ROW LEVEL SECURITY and so on, or log in as a role that does not own them",
                self.report.role.name, tables.join(", ")
            ))
        })
    }

    /// The least of the server's, the database's and the role's limits, against what the policy may open.
    fn connection_limit(&self) -> Option<Diagnostic> {
        let server = &self.report.server;
        let own = |limit: i32| (limit >= 0).then_some(limit);
        let (limit, whose) = [
            (
                Some(server.max_connections - server.reserved_connections),
                "max_connections less the reserved ones",
            ),
            (
                own(server.database_limit),
                "the database's CONNECTION LIMIT",
            ),
            (
                own(self.report.role.connection_limit),
                "the role's CONNECTION LIMIT",
            ),
        ]
        .into_iter()
        .filter_map(|(limit, whose)| Some((u32::try_from(limit?).unwrap_or(0), whose)))
        .min()?;
        let wanted = self.database.pool.max_connections;
        (wanted > limit).then(|| {
            self.warning("pool.maxConnections", "MoreThanTheServerAllows", format!(
                "{wanted} connections are more than the server allows, {limit} ({whose}): the rest would be refused with 53300\nlower it to less than {limit}, so that others find room too, or raise the server's limit"
            ))
        })
    }

    fn standby(&self) -> Option<Diagnostic> {
        use TargetSessionAttrs as T;
        let upstream = &self.database.upstream;
        let meant = matches!(
            upstream.target_session_attrs,
            T::ReadOnly | T::Standby | T::PreferStandby
        );
        // Where a user is to be proven it is an error, of its own.
        let told = meant || self.report.signed.is_some();
        (self.report.server.standby && !told).then(|| {
            self.warning(
                upstream.host_field(),
                "Standby",
                "the server is a standby: it refuses every write\nname the primary, or set upstream.targetSessionAttrs to Primary or ReadWrite where several servers may be it, to Standby or ReadOnly where only reading is meant".to_owned(),
            )
        })
    }

    fn slow(&self) -> Option<Diagnostic> {
        let (took, allowed) = (self.report.connected_in, self.database.timeouts.connect);
        (took > allowed / 2).then(|| {
            self.warning("timeouts.connect", "SlowConnect", format!(
                "connecting took {:.1} s of the {:.1} s that are allowed: under load it will fail\nraise it, or find out what is slow",
                took.as_secs_f64(), allowed.as_secs_f64()
            ))
        })
    }

    /// What sets row-level security aside.
    fn of_row_security(&self, field: &str, reason: &str, message: String) -> Diagnostic {
        let mut told = self.warning(field, reason, message);
        if self.report.signed.is_some() {
            told.severity = Severity::Error;
        }
        told
    }

    fn warning(&self, field: &str, reason: &str, message: String) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            path: format!("databases[{}].{field}", self.database.name),
            reason: reason.to_owned(),
            message,
        }
    }
}

const OWN_ROLE: &str = "create one of its own with CREATE ROLE … LOGIN PASSWORD …, grant it what the application needs, and put it into the Secret";

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::fixtures;
    use crate::upstream::probe::{RoleFacts, ServerFacts};

    pub(super) fn harmless() -> ProbeReport {
        ProbeReport {
            connected_in: Duration::from_millis(20),
            round_trip: Duration::from_millis(1),
            encrypted: Some(true),
            sees_others: true,
            server: ServerFacts {
                version: "15.8".to_owned(),
                database: "chat".to_owned(),
                standby: false,
                max_connections: 1000,
                reserved_connections: 3,
                database_limit: -1,
            },
            role: RoleFacts {
                name: "app".to_owned(),
                superuser: false,
                bypasses_rls: false,
                connection_limit: -1,
            },
            may_become: Vec::new(),
            unforced_tables: Vec::new(),
            signed: None,
        }
    }

    fn told(report: &ProbeReport) -> Vec<Diagnostic> {
        findings(report, &fixtures::database("main", 5432), None)
    }

    #[test]
    fn a_harmless_upstream_has_no_findings() {
        assert_eq!(told(&harmless()), []);
    }

    #[test]
    fn each_danger_is_told_once_with_what_to_do() {
        type Change = fn(&mut ProbeReport);
        let cases: [(Change, &str, &str); 8] = [
            (|r| r.role.superuser = true, "Superuser", "CREATE ROLE"),
            (
                |r| r.role.bypasses_rls = true,
                "BypassRls",
                "ALTER ROLE \"app\" NOBYPASSRLS",
            ),
            (
                |r| r.may_become.push("ad\"min".to_owned()),
                "MayBecomePrivileged",
                "REVOKE \"ad\"\"min\" FROM \"app\"",
            ),
            (
                |r| r.unforced_tables.push("notes".to_owned()),
                "UnforcedRowSecurity",
                "ALTER TABLE notes FORCE",
            ),
            (
                |r| r.server.max_connections = 10,
                "MoreThanTheServerAllows",
                "less than 7",
            ),
            (
                |r| r.role.connection_limit = 2,
                "MoreThanTheServerAllows",
                "the role's",
            ),
            (|r| r.server.standby = true, "Standby", "primary"),
            (
                |r| r.connected_in = Duration::from_secs(3600),
                "SlowConnect",
                "raise it",
            ),
        ];
        for (change, reason, advice) in cases {
            let mut report = harmless();
            change(&mut report);
            let found = told(&report);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].reason, reason);
            assert!(found[0].message.contains(advice), "{}", found[0]);
            assert!(
                found[0].path.starts_with("databases[main]."),
                "{}",
                found[0]
            );
            assert_eq!(found[0].severity, Severity::Warning);
        }
    }

    #[test]
    fn a_standby_that_is_meant_is_no_finding() {
        use TargetSessionAttrs as T;
        let mut report = harmless();
        report.server.standby = true;
        for (wanted, told) in [
            (T::Any, 1),
            (T::ReadOnly, 0),
            (T::Standby, 0),
            (T::PreferStandby, 0),
        ] {
            let mut database = fixtures::database("main", 5432);
            database.upstream.target_session_attrs = wanted;
            assert_eq!(findings(&report, &database, None).len(), told, "{wanted}");
        }
    }

    #[test]
    fn a_superuser_is_not_told_the_lesser_things_as_well() {
        let mut report = harmless();
        report.role.superuser = true;
        report.role.bypasses_rls = true;
        report.may_become.push("postgres".to_owned());
        report.unforced_tables.push("notes".to_owned());
        assert_eq!(told(&report).len(), 1);
    }
}
