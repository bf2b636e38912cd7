//! Run-time parameters: built in, reported, lists, of the application's own; by every way in which a session can set one.

use super::super::kind::{Kind, Probe, Probe::Sql, Step, Step::Run, kind};

/// A parameter, by SET.
macro_rules! set {
    ($parameter:literal, $value:literal) => {
        kind(
            concat!("SET ", $parameter),
            &[Run(concat!("SET ", $parameter, " = ", $value))],
            Sql(concat!("SHOW ", $parameter)),
        )
    };
}

const APP_SETTING: Probe = Sql("SELECT coalesce(current_setting('bulkhead_prove.v{n}', true), '')");

pub(super) const KINDS: &[Kind] = &[
    // Built in.
    set!("work_mem", "'7777kB'"),
    set!("statement_timeout", "'77s'"),
    set!("lock_timeout", "'77s'"),
    set!("idle_in_transaction_session_timeout", "'77s'"),
    set!("temp_buffers", "'9MB'"),
    set!("enable_seqscan", "off"),
    set!("plan_cache_mode", "force_generic_plan"),
    set!("client_min_messages", "error"),
    set!("row_security", "off"),
    set!("synchronous_commit", "local"),
    set!("transform_null_equals", "on"),
    set!("check_function_bodies", "off"),
    set!("xmloption", "document"),
    set!("bytea_output", "escape"),
    set!("extra_float_digits", "-3"),
    set!("lc_numeric", "'POSIX'"),
    set!("default_transaction_isolation", "serializable"),
    set!("default_transaction_read_only", "on"),
    set!("default_transaction_deferrable", "on"),
    // Lists.
    set!(
        "search_path",
        "pg_catalog, bulkhead_prove_a, bulkhead_prove_b"
    ),
    // Reported to the client.
    set!("DateStyle", "'SQL, DMY'"),
    set!("IntervalStyle", "sql_standard"),
    set!("TimeZone", "'Asia/Tokyo'"),
    set!("client_encoding", "'LATIN1'"),
    set!("standard_conforming_strings", "off"),
    set!("application_name", "'planted by A'"),
    // Other spellings of SET.
    kind(
        "SET TIME ZONE",
        &[Run("SET TIME ZONE INTERVAL '+05:30' HOUR TO MINUTE")],
        Sql("SHOW timezone"),
    ),
    kind(
        "SET NAMES",
        &[Run("SET NAMES 'SQL_ASCII'")],
        Sql("SHOW client_encoding"),
    ),
    kind(
        "SET SCHEMA",
        &[Run("SET SCHEMA 'bulkhead_prove_c'")],
        Sql("SHOW search_path"),
    ),
    kind(
        "SET SESSION CHARACTERISTICS",
        &[Run("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")],
        Sql("SHOW transaction_read_only"),
    ),
    // Of the application's own, by every way.
    kind(
        "a setting of the application's own, by SET",
        &[Run("SET bulkhead_prove.v{n} = 'tenant of A'")],
        APP_SETTING,
    ),
    kind(
        "a setting of the application's own, by set_config",
        &[Run(
            "SELECT set_config('bulkhead_prove.v{n}', 'tenant of A', false)",
        )],
        APP_SETTING,
    ),
    kind(
        "set_config in a DO block",
        &[Run(
            "DO $$ BEGIN PERFORM set_config('bulkhead_prove.v{n}', 'tenant of A', false); END $$",
        )],
        APP_SETTING,
    ),
    kind(
        "set_config in a function",
        &[
            Run(
                "CREATE FUNCTION pg_temp.f{n}() RETURNS text LANGUAGE plpgsql AS \
                 $$ BEGIN RETURN set_config('bulkhead_prove.' || 'v{n}', 'tenant of A', false); END $$",
            ),
            Run("SELECT pg_temp.f{n}()"),
        ],
        APP_SETTING,
    ),
    kind(
        "SET by EXECUTE in a DO block",
        &[Run(
            "DO $$ BEGIN EXECUTE 'SE' || 'T geqo_threshold = 7'; END $$",
        )],
        Sql("SHOW geqo_threshold"),
    ),
    kind(
        "UPDATE pg_settings",
        &[Run(
            "UPDATE pg_settings SET setting = 'off' WHERE name = 'enable_hashjoin'",
        )],
        Sql("SHOW enable_hashjoin"),
    ),
    kind(
        "SET among several statements of one text",
        &[Step::Simple(
            "SELECT 1; SET join_collapse_limit = 7; SELECT 2",
        )],
        Sql("SHOW join_collapse_limit"),
    ),
    kind(
        "SET in a transaction that commits",
        &[
            Run("BEGIN"),
            Run("SET from_collapse_limit = 7"),
            Run("COMMIT"),
        ],
        Sql("SHOW from_collapse_limit"),
    ),
    kind(
        "set_config in a savepoint that is released",
        &[
            Run("BEGIN"),
            Run("SAVEPOINT one"),
            Run("SELECT set_config('cursor_tuple_fraction', '0.77', false)"),
            Run("RELEASE one"),
            Run("COMMIT"),
        ],
        Sql("SHOW cursor_tuple_fraction"),
    ),
    kind(
        "SET LOCAL in an open transaction",
        &[Run("BEGIN"), Run("SET LOCAL hash_mem_multiplier = 7.7")],
        Sql("SHOW hash_mem_multiplier"),
    )
    .in_transaction(),
    kind(
        "set_config(…, true) in an open transaction",
        &[
            Run("BEGIN"),
            Run("SELECT set_config('bulkhead_prove.v{n}', 'tenant of A', true)"),
        ],
        APP_SETTING,
    )
    .in_transaction(),
    kind("a start-up parameter", &[], Sql("SHOW enable_mergejoin"))
        .started_with(&[("enable_mergejoin", "off")]),
    kind(
        "a setting in the start-up options",
        &[],
        Sql("SHOW enable_nestloop"),
    )
    .started_with(&[("options", "-c enable_nestloop=off")]),
    kind(
        "that a setting of the application's own was ever set",
        &[Run("SET bulkhead_prove.v{n} = ''")],
        Sql("SELECT current_setting('bulkhead_prove.v{n}', true) IS NULL"),
    )
    .surviving_reset("RESET ALL empties a custom parameter and leaves its name defined"),
];
