//! Prepared statements, by SQL and by the protocol, and their plans.

use super::super::kind::{Kind, Probe, Probe::Sql, Step, Step::Run, kind};

pub(super) const KINDS: &[Kind] = &[
    kind(
        "PREPARE",
        &[Run("PREPARE p{n} AS SELECT 'of A'")],
        Sql("SELECT count(*) FROM pg_prepared_statements WHERE name = 'p{n}'"),
    ),
    kind(
        "PREPARE, made in a DO block",
        &[Run(
            "DO $$ BEGIN EXECUTE 'PREP' || 'ARE p{n} AS SELECT 1'; END $$",
        )],
        Sql("SELECT count(*) FROM pg_prepared_statements WHERE name = 'p{n}'"),
    ),
    kind(
        "PREPARE, asked for by its name",
        &[Run("PREPARE p{n} AS SELECT 'of A'")],
        Sql("EXECUTE p{n}"),
    ),
    kind(
        "a statement of the protocol, with a name",
        &[Step::Parse("p{n}", "SELECT 'of A'")],
        Probe::Statement("p{n}"),
    ),
    kind(
        "the text of a statement of the protocol",
        &[Step::Parse("p{n}", "SELECT 'of A', '{n}'")],
        Sql(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT ''of A'', ''{n}''%'",
        ),
    ),
    kind(
        "the unnamed statement of the protocol",
        &[Step::Parse("", "SELECT 'of A'")],
        Probe::Statement(""),
    ),
    kind(
        "a generic plan that was chosen",
        &[
            Run("PREPARE p{n}(int) AS SELECT $1"),
            Run("EXECUTE p{n}(1)"),
            Run("EXECUTE p{n}(2)"),
            Run("EXECUTE p{n}(3)"),
            Run("EXECUTE p{n}(4)"),
            Run("EXECUTE p{n}(5)"),
            Run("EXECUTE p{n}(6)"),
            Run("EXECUTE p{n}(7)"),
        ],
        Sql(
            "SELECT coalesce(sum(generic_plans), 0) FROM pg_prepared_statements WHERE name = 'p{n}'",
        ),
    ),
];
