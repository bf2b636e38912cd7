//! The second table: what PostgreSQL itself shares within a role or a database. No pool can part it, and none is judged by it.
//!
//! Lives here: the list, as data, and looking. A is connected and at work while B looks, each on a server connection of its own.

use std::time::Duration;

use super::answer::Failure;
use super::cell::{Names, Pair};
use super::client::Client;
use super::report::{Openness, SharedReport};
use super::scenario::Protocol;

/// The file that closes what a database's administrator can close.
pub const HARDENING: &str = include_str!("../../../sql/hardening.sql");

/// How often B asks whether a notification has come, and the pause between.
const LISTENS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

const ROLES: &str = "a role for each user";
const FILE_OR_ROLES: &str = "the hardening file, or a role for each user";
const FILE: &str = "the hardening file";
const DATABASE: &str = "a database for each user";

/// One thing that is shared.
struct Shared {
    name: &'static str,
    within: &'static str,
    /// What A does before.
    plant: &'static [&'static str],
    look: Look,
    /// What is done at the end, by A.
    undo: &'static [&'static str],
    closed_by: &'static str,
}

/// How B looks; `{pid}` is A's server process, `{n}` a number of this run.
enum Look {
    /// Open where the value is `t`.
    Sql(&'static str),
    /// Open where B, who listens, hears what A sends then.
    Hears(&'static str),
}

const LIST: &[Shared] = &[
    Shared {
        name: "the text of statements, in pg_stat_activity",
        within: "role",
        plant: &["BEGIN", "SELECT 'secret of A {n}'"],
        look: Look::Sql(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = {pid} AND query LIKE '%of A {n}%'",
        ),
        undo: &["ROLLBACK"],
        closed_by: FILE_OR_ROLES,
    },
    Shared {
        name: "the text of statements, by pg_stat_get_activity",
        within: "role",
        plant: &["BEGIN", "SELECT 'secret of A {n}'"],
        look: Look::Sql(
            "SELECT count(*) > 0 FROM pg_stat_get_activity({pid}) WHERE query LIKE '%of A {n}%'",
        ),
        undo: &["ROLLBACK"],
        closed_by: FILE_OR_ROLES,
    },
    Shared {
        name: "the text of statements, by pg_stat_get_backend_activity",
        within: "role",
        plant: &["BEGIN", "SELECT 'secret of A {n}'"],
        look: Look::Sql(
            "SELECT count(*) > 0 FROM generate_series(1, 1000) i \
             WHERE pg_stat_get_backend_activity(i) LIKE '%of A ' || '{n}%'",
        ),
        undo: &["ROLLBACK"],
        closed_by: FILE_OR_ROLES,
    },
    Shared {
        name: "the application's name and state, in pg_stat_activity",
        within: "server",
        plant: &["BEGIN", "SET LOCAL application_name = 'A {n}'", "SELECT 1"],
        look: Look::Sql(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = {pid} AND application_name = 'A {n}'",
        ),
        undo: &["ROLLBACK"],
        closed_by: FILE,
    },
    Shared {
        name: "cancelling, by pg_cancel_backend",
        within: "role",
        plant: &["BEGIN", "SELECT 1"],
        look: Look::Sql("SELECT pg_cancel_backend({pid})"),
        undo: &["ROLLBACK"],
        closed_by: FILE_OR_ROLES,
    },
    Shared {
        name: "ending, by pg_terminate_backend",
        within: "role",
        plant: &["BEGIN", "SELECT 1"],
        look: Look::Sql("SELECT pg_terminate_backend({pid})"),
        undo: &["ROLLBACK"],
        closed_by: FILE_OR_ROLES,
    },
    Shared {
        name: "locks, in pg_locks",
        within: "server",
        plant: &["BEGIN", "CREATE TEMP TABLE t{n} (n int)", "SELECT 1"],
        look: Look::Sql("SELECT count(*) > 0 FROM pg_locks WHERE pid = {pid}"),
        undo: &["ROLLBACK"],
        closed_by: FILE,
    },
    Shared {
        name: "advisory locks: B cannot take the key that A holds",
        within: "database",
        plant: &["BEGIN", "SELECT pg_advisory_xact_lock({n})"],
        look: Look::Sql("SELECT NOT pg_try_advisory_xact_lock({n})"),
        undo: &["ROLLBACK"],
        closed_by: FILE,
    },
    Shared {
        name: "notifications: B hears what A sends",
        within: "database",
        plant: &[],
        look: Look::Hears("NOTIFY l{n}, 'of A'"),
        undo: &[],
        closed_by: DATABASE,
    },
    Shared {
        name: "large objects",
        within: "role",
        plant: &["SELECT lo_from_bytea({n}, 'of A')", "BEGIN", "SELECT 1"],
        look: Look::Sql("SELECT convert_from(lo_get({n}), 'UTF8') = 'of A'"),
        undo: &["ROLLBACK", "SELECT lo_unlink({n})"],
        closed_by: FILE_OR_ROLES,
    },
    Shared {
        name: "where a sequence stands",
        within: "whoever has USAGE or SELECT on it",
        plant: &["SELECT nextval('{sequence}')", "BEGIN", "SELECT 1"],
        look: Look::Sql("SELECT is_called FROM {sequence}"),
        undo: &["ROLLBACK"],
        closed_by: "privileges on the sequence; ids that do not count, such as UUIDs",
    },
    Shared {
        name: "prepared transactions, in pg_prepared_xacts",
        within: "server",
        plant: &[
            "BEGIN",
            "SELECT pg_advisory_xact_lock_shared(1)",
            "SELECT pg_current_xact_id()",
            "PREPARE TRANSACTION 'of A {n}'",
            "BEGIN",
            "SELECT 1",
        ],
        look: Look::Sql("SELECT count(*) > 0 FROM pg_prepared_xacts WHERE gid = 'of A {n}'"),
        undo: &["ROLLBACK", "ROLLBACK PREPARED 'of A {n}'"],
        closed_by: "max_prepared_transactions = 0 (the default), or the hardening file; a role for each user keeps their end apart",
    },
    Shared {
        name: "settings of the role, by ALTER ROLE SET",
        within: "role",
        plant: &[
            "ALTER ROLE \"{user}\" SET geqo_seed = 0.{n}",
            "BEGIN",
            "SELECT 1",
        ],
        // What every session of the role begins with from now on.
        look: Look::Sql(
            "SELECT count(*) > 0 FROM pg_db_role_setting WHERE array_to_string(setconfig, ',') LIKE '%geqo_seed=0.{n}%'",
        ),
        undo: &["ROLLBACK", "ALTER ROLE \"{user}\" RESET geqo_seed"],
        closed_by: ROLES,
    },
    Shared {
        name: "names and columns of temporary tables, in the catalogs",
        within: "database",
        plant: &[
            "CREATE TEMP TABLE secret_of_a_{n} (n int)",
            "BEGIN",
            "SELECT 1",
        ],
        look: Look::Sql("SELECT count(*) > 0 FROM pg_class WHERE relname = 'secret_of_a_{n}'"),
        undo: &["ROLLBACK", "DROP TABLE secret_of_a_{n}"],
        closed_by: "a database for each user; the rows are A's alone in any case",
    },
    Shared {
        name: "snapshots, by pg_export_snapshot",
        within: "database",
        plant: &[
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            "SELECT pg_current_snapshot()",
        ],
        look: Look::Sql("SELECT pg_export_snapshot() IS NOT NULL"),
        undo: &["ROLLBACK"],
        closed_by: FILE,
    },
    Shared {
        name: "the text of statements, in pg_stat_statements",
        within: "role",
        plant: &["BEGIN", "SELECT 1 AS secret_of_a_{n}"],
        look: Look::Sql(
            "SELECT count(*) > 0 FROM pg_stat_statements WHERE query LIKE '%secret_of_a_' || '{n}%'",
        ),
        undo: &["ROLLBACK"],
        closed_by: FILE_OR_ROLES,
    },
    Shared {
        name: "temporary files, by pg_ls_tmpdir",
        within: "server",
        plant: &["BEGIN", "SELECT 1"],
        look: Look::Sql("SELECT count(*) >= 0 FROM pg_ls_tmpdir()"),
        undo: &["ROLLBACK"],
        closed_by: "no membership in pg_monitor",
    },
];

/// Looks at each of them, with A and B connected at once.
pub(super) async fn look(pair: &Pair, names: &Names) -> Vec<SharedReport> {
    let mut reports = Vec::new();
    let mut names = names.clone();
    for shared in LIST {
        names.number += 1;
        let (open, seen) = match once(shared, pair, &names).await {
            Ok(found) => found,
            Err(failure) => (Openness::Skipped, failure.to_string()),
        };
        reports.push(SharedReport {
            name: shared.name,
            within: shared.within,
            probe: shared.look.describe(),
            seen,
            open,
            closed_by: shared.closed_by,
        });
    }
    reports
}

async fn once(shared: &Shared, pair: &Pair, names: &Names) -> Result<(Openness, String), Failure> {
    let mut a = pair.a.connect(&[]).await?;
    for sql in shared.plant {
        let answer = a.ask(Protocol::Simple, &names.fill(sql)).await?;
        if let Some(error) = answer.error {
            undo(shared, a, names).await;
            return Ok(refusal(&error.code, error.message));
        }
    }
    let found = seen(shared, pair, names, &mut a).await;
    undo(shared, a, names).await;
    found
}

/// What may not be done is closed; what is not there cannot be tried.
fn refusal(code: &str, message: String) -> (Openness, String) {
    let open = if code == "42501" {
        Openness::Closed
    } else {
        Openness::Skipped
    };
    (open, format!("{code} {message}"))
}

async fn seen(
    shared: &Shared,
    pair: &Pair,
    names: &Names,
    a: &mut Client,
) -> Result<(Openness, String), Failure> {
    let mut b = pair.b.connect(&[]).await?;
    let answer = match shared.look {
        Look::Sql(sql) => {
            let pid = a.ask(Protocol::Simple, "SELECT pg_backend_pid()").await?;
            // The last text of A's is what B is to find.
            if let Some(last) = shared.plant.last() {
                a.ask(Protocol::Simple, &names.fill(last)).await?;
            }
            let sql = names
                .fill(sql)
                .replace("{pid}", pid.value.as_deref().unwrap_or("0"));
            b.ask(Protocol::Simple, &sql).await?
        }
        Look::Hears(sql) => {
            let listen = names.fill("LISTEN l{n}");
            b.ask(Protocol::Simple, &listen).await?;
            a.ask(Protocol::Simple, &names.fill(sql)).await?;
            let found = hear(&mut b).await?;
            b.terminate().await;
            return Ok(found);
        }
    };
    b.terminate().await;
    Ok(match (answer.error, answer.value.as_deref()) {
        (Some(error), _) => refusal(&error.code, error.message),
        (None, Some("t")) => (Openness::Open, "t".to_owned()),
        (None, value) => (Openness::Closed, value.unwrap_or("NULL").to_owned()),
    })
}

/// Whether a notification comes: with an answer, or with one of the next, for the server delivers it in its own time.
async fn hear(b: &mut Client) -> Result<(Openness, String), Failure> {
    for _ in 0..LISTENS {
        if b.ask(Protocol::Simple, "SELECT 1").await?.notified {
            return Ok((Openness::Open, "delivered".to_owned()));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok((Openness::Closed, "nothing".to_owned()))
}

/// Takes A's plant away, over a new connection where B has ended the first.
async fn undo(shared: &Shared, mut a: Client, names: &Names) {
    for sql in shared.undo {
        if a.ask(Protocol::Simple, &names.fill(sql)).await.is_err() {
            return;
        }
    }
    a.terminate().await;
}

impl Look {
    fn describe(&self) -> String {
        match self {
            Self::Sql(sql) => (*sql).to_owned(),
            Self::Hears(sql) => format!("B listens, A says {sql}"),
        }
    }
}
