//! What extensions and languages keep in the server process: PostgreSQL itself knows nothing of it.

use super::super::kind::{Kind, Needs, Probe::Sql, Step::Run, kind};

const OWN_MEMORY: &str = "an extension's own memory, which DISCARD ALL knows nothing of";

pub(super) const KINDS: &[Kind] = &[
    kind(
        "a library that was loaded",
        &[Run("DO $$ BEGIN NULL; END $$")],
        Sql("SELECT current_setting('plpgsql.variable_conflict', true) IS NULL"),
    )
    .surviving_reset("a library that a statement has loaded stays loaded, with its parameters"),
    kind(
        "pg_trgm's limit, by set_limit",
        &[Run("SELECT set_limit(0.77)")],
        Sql("SELECT show_limit()"),
    )
    .needing(Needs::Extension("pg_trgm")),
    kind(
        "isn's weak mode",
        &[Run("SELECT isn_weak(true)")],
        Sql("SELECT isn_weak()"),
    )
    .needing(Needs::Extension("isn"))
    .surviving_reset(OWN_MEMORY),
    kind(
        "a connection of dblink",
        &[Run(
            "SELECT dblink_connect('d{n}', 'bulkhead_prove_loopback')",
        )],
        Sql("SELECT coalesce('d{n}' = ANY (dblink_get_connections()), false)"),
    )
    .needing(Needs::Extension("dblink"))
    .surviving_reset(OWN_MEMORY),
    kind(
        "a connection of postgres_fdw",
        &[Run("SELECT count(*) FROM bulkhead_prove_foreign")],
        Sql("SELECT count(*) FROM postgres_fdw_get_connections()"),
    )
    .needing(Needs::Extension("postgres_fdw"))
    .surviving_reset(OWN_MEMORY),
    kind(
        "a global of PL/Perl",
        &[Run("DO LANGUAGE plperl $$ $_SHARED{v{n}} = 'of A'; $$")],
        Sql("DO LANGUAGE plperl $$ elog(ERROR, 'seen') if exists $_SHARED{v{n}}; $$"),
    )
    .needing(Needs::Extension("plperl"))
    .surviving_reset(OWN_MEMORY),
    kind(
        "a global of PL/Python",
        &[Run("DO LANGUAGE plpython3u $$ GD['v{n}'] = 'of A' $$")],
        Sql("DO LANGUAGE plpython3u $$\nif 'v{n}' in GD:\n    plpy.error('seen')\n$$"),
    )
    .needing(Needs::Extension("plpython3u"))
    .surviving_reset(OWN_MEMORY),
    kind(
        "the label of a security provider",
        &[Run("SELECT sepgsql_setcon(NULL)")],
        Sql("SELECT sepgsql_getcon()"),
    )
    .needing(Needs::Extension("sepgsql"))
    .surviving_reset(OWN_MEMORY),
];
