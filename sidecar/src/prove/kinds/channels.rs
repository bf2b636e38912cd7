//! LISTEN, and notifications that come of it.

use super::super::kind::{Kind, Probe, Probe::Sql, Step::Run, kind};

pub(super) const KINDS: &[Kind] = &[
    kind(
        "LISTEN",
        &[Run("LISTEN l{n}")],
        Sql("SELECT count(*) FROM pg_listening_channels() c WHERE c = 'l{n}'"),
    ),
    kind(
        "LISTEN, in a DO block",
        &[Run("DO $$ BEGIN EXECUTE 'LIS' || 'TEN l{n}'; END $$")],
        Sql("SELECT count(*) FROM pg_listening_channels() c WHERE c = 'l{n}'"),
    ),
    kind(
        "a notification on a channel of A's",
        &[Run("LISTEN l{n}")],
        Probe::Notification("l{n}"),
    ),
    kind(
        "LISTEN in an open transaction",
        &[Run("BEGIN"), Run("LISTEN l{n}")],
        Probe::Notification("l{n}"),
    )
    .in_transaction()
    .unseen(),
    kind(
        "a NOTIFY that waits for its transaction",
        &[Run("LISTEN l{n}"), Run("BEGIN"), Run("NOTIFY l{n}, 'of A'")],
        Probe::Answer("SELECT 'of B'"),
    )
    .in_transaction()
    .unseen(),
];
