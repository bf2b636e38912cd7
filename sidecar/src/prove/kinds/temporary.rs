//! Temporary objects: all that can be made in `pg_temp`.

use super::super::kind::{Kind, Probe::Sql, Step::Run, kind};

pub(super) const KINDS: &[Kind] = &[
    kind(
        "a temporary table",
        &[Run("CREATE TEMP TABLE t{n} AS SELECT 'of A' AS secret")],
        Sql("SELECT to_regclass('pg_temp.t{n}') IS NULL"),
    ),
    kind(
        "a temporary table, made in a DO block",
        &[Run(
            "DO $$ BEGIN EXECUTE 'CREATE TE' || 'MP TABLE t{n} (secret text)'; END $$",
        )],
        Sql("SELECT to_regclass('pg_temp.t{n}') IS NULL"),
    ),
    kind(
        "a temporary table, by SELECT INTO",
        &[Run("SELECT 'of A' AS secret INTO TEMP t{n}")],
        Sql("SELECT to_regclass('pg_temp.t{n}') IS NULL"),
    ),
    kind(
        "a temporary table that shadows a system view",
        &[Run(
            "CREATE TEMP TABLE pg_roles AS SELECT 'forged by A' AS rolname",
        )],
        Sql("SELECT to_regclass('pg_temp.pg_roles') IS NULL"),
    ),
    kind(
        "rows of a temporary table, ON COMMIT DELETE ROWS, in an open transaction",
        &[
            Run("BEGIN"),
            Run("CREATE TEMP TABLE t{n} (secret text) ON COMMIT DELETE ROWS"),
            Run("INSERT INTO t{n} VALUES ('of A')"),
        ],
        Sql("SELECT to_regclass('pg_temp.t{n}') IS NULL"),
    )
    .in_transaction(),
    kind(
        "a temporary view",
        &[Run("CREATE TEMP VIEW w{n} AS SELECT 'of A' AS secret")],
        Sql("SELECT to_regclass('pg_temp.w{n}') IS NULL"),
    ),
    kind(
        "a temporary sequence",
        &[Run("CREATE TEMP SEQUENCE s{n}")],
        Sql("SELECT to_regclass('pg_temp.s{n}') IS NULL"),
    ),
    kind(
        "a function in pg_temp",
        &[Run(
            "CREATE FUNCTION pg_temp.f{n}() RETURNS text LANGUAGE sql AS $$ SELECT 'of A' $$",
        )],
        Sql("SELECT to_regproc('pg_temp.f{n}') IS NULL"),
    ),
    kind(
        "an enum in pg_temp",
        &[Run("CREATE TYPE pg_temp.e{n} AS ENUM ('of A')")],
        Sql("SELECT to_regtype('pg_temp.e{n}') IS NULL"),
    ),
    kind(
        "a domain in pg_temp",
        &[Run(
            "CREATE DOMAIN pg_temp.d{n} AS text CHECK (VALUE <> 'of A')",
        )],
        Sql("SELECT to_regtype('pg_temp.d{n}') IS NULL"),
    ),
    kind(
        "an operator in pg_temp",
        &[Run(
            "CREATE OPERATOR pg_temp.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
        )],
        Sql(
            "SELECT count(*) FROM pg_operator WHERE oprname = '===' AND oprnamespace = pg_my_temp_schema()",
        ),
    ),
    kind(
        "the session's own schema for temporary objects",
        &[
            Run("CREATE TEMP TABLE t{n} (n int)"),
            Run("DROP TABLE t{n}"),
        ],
        Sql("SELECT pg_my_temp_schema() = 0"),
    )
    .surviving_reset(
        "DISCARD TEMP drops what is in the session's temporary schema, and keeps the schema, empty",
    ),
];
