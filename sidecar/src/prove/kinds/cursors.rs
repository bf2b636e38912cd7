//! Cursors, portals and descriptors of large objects.

use super::super::kind::{Kind, Probe, Probe::Sql, Step, Step::Run, kind};

pub(super) const KINDS: &[Kind] = &[
    kind(
        "a cursor WITH HOLD",
        &[
            Run("BEGIN"),
            Run("DECLARE c{n} CURSOR WITH HOLD FOR SELECT 'of A'"),
            Run("COMMIT"),
        ],
        Sql("SELECT count(*) FROM pg_cursors WHERE name = 'c{n}'"),
    ),
    kind(
        "the rows of a cursor WITH HOLD",
        &[Run("DECLARE c{n} CURSOR WITH HOLD FOR SELECT 'of A'")],
        Sql("FETCH c{n}"),
    ),
    kind(
        "a cursor WITH HOLD, made in a DO block",
        &[Run(
            "DO $$ BEGIN EXECUTE 'DECLARE c{n} CURSOR WITH HO' || 'LD FOR SELECT 1'; END $$",
        )],
        Sql("SELECT count(*) FROM pg_cursors WHERE name = 'c{n}'"),
    ),
    kind(
        "a cursor in an open transaction",
        &[Run("BEGIN"), Run("DECLARE c{n} CURSOR FOR SELECT 'of A'")],
        Sql("SELECT count(*) FROM pg_cursors WHERE name = 'c{n}'"),
    )
    .in_transaction(),
    kind(
        "a portal of the protocol in an open transaction",
        &[
            Run("BEGIN"),
            Step::Portal("o{n}", "SELECT 'of A' FROM generate_series(1, 9)"),
        ],
        Probe::Portal("o{n}"),
    )
    .in_transaction(),
    kind(
        "the descriptor of a large object in an open transaction",
        &[
            Run("BEGIN"),
            Run("SELECT lo_open(lo_from_bytea(0, 'of A'), 262144)"),
        ],
        Sql("SELECT convert_from(loread(0, 4), 'UTF8')"),
    )
    .in_transaction(),
];
