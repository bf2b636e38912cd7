//! What nobody may run on a server: the statements with which drivers and pools begin a connection. Pure.
//!
//! They run in a factory of their own, `bootstrap`, on connections that no user's work ever touches. None of them reads a table of the
//! application's; a parameter that is set becomes the client's baseline, once the server has accepted it.

use aws_lc_rs::digest::{SHA256, digest};

use super::super::super::statement_text::{
    ResetStatement, TransactionControl, normalized, parse_reset, parse_set, shows_parameter,
    transaction_control,
};

/// Statements of drivers, pools and ORMs at the beginning of a connection, in the form of [`normalized`].
const KNOWN: [&str; 11] = [
    // Many, to see what they talk to.
    "select version ( )",
    "select pg_catalog . version ( )",
    "select current_schema ( )",
    "select pg_catalog . current_schema ( )",
    "select current_database ( )",
    "select current_user",
    // Those that look for a primary.
    "select pg_is_in_recovery ( )",
    "select pg_catalog . pg_is_in_recovery ( )",
    // pgx and others, as a sign of life.
    "select ( 1 )",
    // asyncpg, around its look-up of types.
    "select current_setting ( 'jit' ) as cur , set_config ( 'jit' , 'off' , false ) as new",
    "select set_config ( 'jit' , $ 1 , false )",
];

/// Longer ones, by which drivers look up types in the system's catalogs: the SHA-256 of each in the form of [`normalized`].
const KNOWN_DIGESTS: [(&str, &str); 4] = [
    (
        "psycopg 3, TypeInfo",
        "cf2950286d3caa72d23919fc02a81579a5f2ea6a38600c78db32ed71c8201ed2",
    ),
    (
        "asyncpg 0.32, types",
        "780c50707f35d23323b11231af18253db51ef4146e9c442c01e5b146cdc8daae",
    ),
    (
        "asyncpg 0.32, types of older servers",
        "592c093004694ea73bebd748d2a676ce04b60fc155bf3c68f1e7c54203d9b37c",
    ),
    (
        "asyncpg 0.32, a type by name",
        "55112b3440dd279063a5db7f50ceaf6cbe95afdec0a108d25a6c5f327cd5ba81",
    ),
];

/// Whether nobody may run this text. `may_be_baseline`: whether a parameter may be carried from one connection to the next.
pub(super) fn allows(text: &[u8], may_be_baseline: impl Fn(&str) -> bool) -> bool {
    if let Some(set) = parse_set(text) {
        return may_be_baseline(&set.name);
    }
    match parse_reset(text) {
        Some(ResetStatement::One(name)) => return may_be_baseline(&name),
        Some(ResetStatement::All) => return true,
        None => {}
    }
    // A transaction that has begun with one of these comes to its end.
    if let Some(control) = transaction_control(text) {
        return !matches!(
            control,
            TransactionControl::PrepareTransaction
                | TransactionControl::CommitPrepared
                | TransactionControl::RollbackPrepared
        );
    }
    shows_parameter(text) || normalized(text).is_some_and(|text| is_known(&text))
}

fn is_known(text: &str) -> bool {
    if KNOWN.contains(&text) {
        return true;
    }
    let digest = hexadecimal(text);
    KNOWN_DIGESTS.iter().any(|(_, known)| *known == digest)
}

fn hexadecimal(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> bool {
        allows(text.as_bytes(), |name| name != "role")
    }

    #[test]
    fn what_drivers_begin_with_may_run() {
        for text in [
            "select pg_catalog.version()",
            "SELECT version();",
            "select current_schema()",
            "show standard_conforming_strings",
            "SHOW TRANSACTION ISOLATION LEVEL",
            "SET TIME ZONE 'UTC'",
            "SET extra_float_digits = 3",
            "RESET timezone",
            "RESET ALL",
            "ROLLBACK",
            "SAVEPOINT s",
            "RELEASE s",
            "/* ping */ select current_user",
        ] {
            assert!(allowed(text), "{text}");
        }
    }

    #[test]
    fn a_text_is_known_by_its_digest_whatever_its_blanks() {
        let text = "SELECT t.oid, t.typelem AS elemtype, t.typtype AS kind FROM pg_catalog.pg_type AS t \
                    INNER JOIN pg_catalog.pg_namespace ns ON (ns.oid = t.typnamespace) \
                    WHERE t.typname = $1 AND ns.nspname = $2";
        assert!(allowed(text));
        assert!(allowed(&text.replace(' ', "\n  ")));
        assert!(!allowed(&text.replace("$2", "$3")));
    }

    #[test]
    fn nothing_else_may() {
        for text in [
            "",
            "SELECT * FROM t",
            "select version() from t",
            "SELECT version(); DELETE FROM t",
            "SELECT version(), secret FROM t",
            "SHOW x; SELECT * FROM t",
            "SET role = bob",
            "SET ROLE bob",
            "SET SESSION AUTHORIZATION bob",
            "PREPARE TRANSACTION 'x'",
            "COMMIT PREPARED 'x'",
            "DECLARE c CURSOR FOR SELECT 1",
            "select \"version\"()",
            "select app.version()",
        ] {
            assert!(!allowed(text), "{text}");
        }
    }
}
