//! Advisory locks that the session holds.

use super::super::kind::{Kind, Probe::Sql, Step::Run, kind};

pub(super) const KINDS: &[Kind] = &[
    kind(
        "a session's advisory lock",
        &[Run("SELECT pg_advisory_lock({n})")],
        Sql("SELECT pg_advisory_unlock({n})"),
    )
    .again(),
    kind(
        "a session's advisory lock, by pg_try_advisory_lock of two keys",
        &[Run("SELECT pg_try_advisory_lock(7, {n})")],
        Sql("SELECT pg_advisory_unlock(7, {n})"),
    )
    .again(),
    kind(
        "a session's shared advisory lock",
        &[Run("SELECT pg_advisory_lock_shared({n})")],
        Sql("SELECT pg_advisory_unlock_shared({n})"),
    )
    .again(),
    kind(
        "a session's advisory lock, taken in a DO block",
        &[Run("DO $$ BEGIN EXECUTE 'SELECT pg_advisory' || '_lock({n})'; END $$")],
        Sql("SELECT pg_advisory_unlock({n})"),
    )
    .again(),
    kind(
        "a transaction's advisory lock in an open transaction",
        &[Run("BEGIN"), Run("SELECT pg_advisory_xact_lock({n})")],
        Sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {n} AND pid = pg_backend_pid()"),
    )
    .in_transaction(),
];
