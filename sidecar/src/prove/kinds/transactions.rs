//! Transactions that were left open, and what belongs to one.

use super::super::kind::{Kind, Probe, Probe::Sql, Step::Run, kind};

pub(super) const KINDS: &[Kind] = &[
    kind(
        "an open transaction",
        &[Run("BEGIN"), Run("SELECT 1")],
        Probe::Answer("SELECT 'of B'"),
    )
    .in_transaction(),
    kind(
        "an open transaction, by a text of several statements",
        &[super::super::kind::Step::Simple(
            "SELECT 1; BEGIN; SELECT 2",
        )],
        Probe::Answer("SELECT 'of B'"),
    )
    .in_transaction(),
    kind(
        "an open transaction with writes",
        &[Run("BEGIN"), Run("CREATE TEMP TABLE t{n} (secret text)")],
        Sql("SELECT pg_current_xact_id_if_assigned() IS NULL"),
    )
    .in_transaction(),
    kind(
        "SET TRANSACTION",
        &[
            Run("BEGIN"),
            Run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"),
        ],
        Sql("SHOW transaction_isolation"),
    )
    .in_transaction(),
    kind(
        "a snapshot of REPEATABLE READ",
        &[
            Run("BEGIN ISOLATION LEVEL REPEATABLE READ"),
            Run("SELECT pg_current_snapshot()"),
        ],
        Sql("SELECT now() <> statement_timestamp()"),
    )
    .in_transaction(),
    kind(
        "a savepoint",
        &[Run("BEGIN"), Run("SAVEPOINT s{n}")],
        Sql("ROLLBACK TO s{n}"),
    )
    .in_transaction(),
    kind(
        "SET CONSTRAINTS",
        &[Run("BEGIN"), Run("SET CONSTRAINTS ALL DEFERRED")],
        Probe::Answer("SELECT 'of B'"),
    )
    .in_transaction(),
    kind(
        "START TRANSACTION READ ONLY",
        &[Run("START TRANSACTION READ ONLY")],
        Sql("SHOW transaction_read_only"),
    )
    .in_transaction(),
];
