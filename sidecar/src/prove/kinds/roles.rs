//! Who the session is.

use super::super::kind::{Kind, Needs, Probe::Sql, Step::Run, kind};

pub(super) const KINDS: &[Kind] = &[
    kind(
        "SET ROLE, to its own role",
        &[Run("SET ROLE \"{user}\"")],
        Sql("SHOW role"),
    ),
    kind(
        "SET ROLE, to another role",
        &[Run("SET ROLE \"{member}\"")],
        Sql("SELECT current_user = session_user"),
    )
    .needing(Needs::Member),
    kind(
        "set_config('role') in a DO block",
        &[Run(
            "DO $$ BEGIN PERFORM set_config('ro' || 'le', session_user, false); END $$",
        )],
        Sql("SHOW role"),
    ),
    kind(
        "SET LOCAL ROLE in an open transaction",
        &[Run("BEGIN"), Run("SET LOCAL ROLE \"{user}\"")],
        Sql("SHOW role"),
    )
    .in_transaction(),
    kind(
        "SET SESSION AUTHORIZATION",
        &[Run("SET SESSION AUTHORIZATION \"{member}\"")],
        Sql("SELECT session_user = '{user}'"),
    )
    .needing(Needs::Member),
];
