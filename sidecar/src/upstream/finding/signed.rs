//! What keeps a signed user from being proven to an upstream, or from meaning anything there.

use bulkhead_crds::effective::EffectiveDatabase;
use tokio::time::Instant;

use super::quoted;
use crate::policy::{Diagnostic, Severity};
use crate::signed::{SigningKeys, Tenure};
use crate::upstream::probe::{ProbeReport, SignedFacts};

const INSTALL: &str = "an administrator runs it once in each database: bulkhead-sidecar sql signed-user | psql -v app=ROLE -d DATABASE";

/// Judges what was found. `keys`: those of the policy's Secret.
pub(super) fn findings(
    facts: &SignedFacts,
    report: &ProbeReport,
    database: &EffectiveDatabase,
    keys: Option<&SigningKeys>,
) -> Vec<Diagnostic> {
    let told = |severity, field: &str, reason: &str, message: String| Diagnostic {
        severity,
        path: format!("databases[{}].session.{field}", database.name),
        reason: reason.to_owned(),
        message,
    };
    let error = |field, reason, message| told(Severity::Error, field, reason, message);
    let role = &report.role;
    let mut found = Vec::new();
    if report.server.standby {
        // Whatever else it says follows.
        found.push(error("rowLevelSecurity", "SignedOnStandby", "the server is a standby, and Signed writes when a session begins: it can prove nobody there\nname the primary, or set upstream.targetSessionAttrs to Primary or ReadWrite where several servers may be it; where only reading is meant, an entry of its own with rowLevelSecurity Parameter".to_owned()));
        return found;
    }
    match facts
        .hello
        .as_deref()
        .map(|answer| Tenure::read(answer, Instant::now()))
    {
        Err(why) => found.push(error(
            "rowLevelSecurity",
            "SignedUserMissing",
            format!(
                "bulkhead.hello() does not answer in database {:?}: {why}\n{INSTALL}",
                report.server.database
            ),
        )),
        Ok(Err(why)) => found.push(error(
            "rowLevelSecurity",
            "SignedUserVersion",
            format!("{why}\n{INSTALL}"),
        )),
        Ok(Ok(tenure)) => {
            let refused = keys.and_then(|keys| tenure.check(keys).err());
            found.extend(refused.map(|why| error(
                "signingKeySecretRef",
                "SigningKeyUnknown",
                format!("{why}\nan administrator adds it: SELECT bulkhead.add_key(ID, decode(BASE64, 'base64'))"),
            )));
        }
    }
    if role.superuser {
        // Of which everything else follows.
        return found;
    }
    if let Some(owner) = &facts.member_of {
        found.push(error(
            "rowLevelSecurity",
            "MemberOfOwner",
            format!(
                "role {:?} is a member of {owner}, who owns the keys, and can sign to be anybody\nrun REVOKE {owner} FROM {}",
                role.name,
                quoted(&role.name)
            ),
        ));
    } else if facts.may_create {
        found.push(error(
            "rowLevelSecurity",
            "MayChangeSchema",
            format!(
                "role {:?} may create in the schema bulkhead\nrun REVOKE CREATE ON SCHEMA bulkhead FROM PUBLIC, {}",
                role.name,
                quoted(&role.name)
            ),
        ));
    }
    let forced: Vec<&str> = (facts.owned_tables.iter())
        .filter(|table| !report.unforced_tables.contains(table))
        .map(String::as_str)
        .collect();
    if !forced.is_empty() {
        found.push(told(
            Severity::Warning,
            "rowLevelSecurity",
            "OwnsProtectedTables",
            format!(
                "role {:?} owns tables with row-level security, which their owner may switch off where users can write SQL: {}\nlog in as a role that does not own them",
                role.name,
                forced.join(", ")
            ),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::harmless;
    use super::*;
    use crate::policy::fixtures;

    const ANSWER: &str = "1|7712:16395:29225:1795761425196508:33ecd2230acc4ae1bceefc46af20addd|1000000|k=719a81b6f3009912";

    fn sound() -> ProbeReport {
        let mut report = harmless();
        report.signed = Some(SignedFacts {
            hello: Ok(ANSWER.to_owned()),
            member_of: None,
            may_create: false,
            owned_tables: Vec::new(),
        });
        report
    }

    /// The key `k` of 32 sevens, whose fingerprint stands in [`ANSWER`].
    fn told(report: &ProbeReport) -> Vec<Diagnostic> {
        let keys = SigningKeys::read("k BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
        super::super::findings(report, &fixtures::database("main", 5432), Some(&keys))
    }

    #[test]
    fn a_sound_database_has_no_findings() {
        assert_eq!(told(&sound()), []);
    }

    #[test]
    fn whatever_sets_the_proof_aside_is_an_error() {
        type Change = fn(&mut ProbeReport);
        let cases: [(Change, &str, &str); 11] = [
            (
                |r| {
                    r.server.standby = true;
                    signed(r).hello = Err("cannot set transaction read-write mode".to_owned());
                },
                "SignedOnStandby",
                "Primary",
            ),
            (|r| r.role.superuser = true, "Superuser", "CREATE ROLE"),
            (|r| r.role.bypasses_rls = true, "BypassRls", "NOBYPASSRLS"),
            (
                |r| r.may_become.push("lord".to_owned()),
                "MayBecomePrivileged",
                "REVOKE",
            ),
            (
                |r| {
                    r.unforced_tables.push("notes".to_owned());
                    signed(r).owned_tables.push("notes".to_owned());
                },
                "UnforcedRowSecurity",
                "FORCE",
            ),
            (
                |r| signed(r).hello = Err("schema \"bulkhead\" does not exist".to_owned()),
                "SignedUserMissing",
                "sql signed-user",
            ),
            (
                |r| signed(r).hello = Ok(ANSWER.replacen('1', "9", 1)),
                "SignedUserVersion",
                "version 9",
            ),
            (
                |r| signed(r).hello = Ok(ANSWER.replace("k=", "j=")),
                "SigningKeyUnknown",
                "bulkhead.add_key",
            ),
            (
                |r| signed(r).hello = Ok(ANSWER.replace("k=7", "k=8")),
                "SigningKeyUnknown",
                "under the same id",
            ),
            (
                |r| signed(r).member_of = Some("bulkhead_owner".to_owned()),
                "MemberOfOwner",
                "REVOKE bulkhead_owner FROM \"app\"",
            ),
            (
                |r| signed(r).may_create = true,
                "MayChangeSchema",
                "REVOKE CREATE",
            ),
        ];
        for (change, reason, advice) in cases {
            let mut report = sound();
            change(&mut report);
            let found = told(&report);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(
                (found[0].reason.as_str(), found[0].severity),
                (reason, Severity::Error)
            );
            assert!(found[0].message.contains(advice), "{}", found[0]);
        }
    }

    #[test]
    fn owning_a_table_that_forces_it_is_unwise() {
        let mut report = sound();
        signed(&mut report).owned_tables.push("notes".to_owned());
        let found = told(&report);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].reason, "OwnsProtectedTables");
        assert_eq!(found[0].severity, Severity::Warning);
    }

    fn signed(report: &mut ProbeReport) -> &mut SignedFacts {
        report.signed.as_mut().unwrap()
    }
}
