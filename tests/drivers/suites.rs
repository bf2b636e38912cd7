//! The drivers' own suites, as their authors run them: direct, and through the sidecar in each pool mode. What differs is listed here
//! with its reason, and nothing else may. `make driver-suites` runs them; docs/postgresql.md has the counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::{PASSWORD, Server};
use bulkhead_tests::processes::folder;
use bulkhead_tests::programs::{drivers, of_suite, python};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tools::run_within;

/// A superuser, which the suites ask for.
const ROLE: &str = "suite";

/// One run of a suite takes some minutes on a busy machine.
const LONG: Duration = Duration::from_secs(1500);

/// Each test of a suite by name, and whether it has passed.
type Outcomes = BTreeMap<String, bool>;

/// What a suite is given to connect to.
struct Target {
    port: u16,
    database: String,
    /// The PostgreSQL user: through the sidecar with a user id behind it.
    user: String,
}

/// A server for one run: what a suite leaves behind is nothing to the next.
async fn prepared() -> Server {
    let server = Server::own();
    let admin = server.admin("chat").await;
    for sql in [
        format!("CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{PASSWORD}'"),
        // What pgx's own set-up script makes.
        "CREATE EXTENSION hstore".to_owned(),
        "CREATE EXTENSION ltree".to_owned(),
        "CREATE DOMAIN uint64 AS numeric(20,0)".to_owned(),
        r#"CREATE USER " tricky, ' } "" \ test user " SUPERUSER PASSWORD 'secret'"#.to_owned(),
    ] {
        admin.run(&sql).await;
    }
    drop(admin);
    server
}

/// Runs a suite direct and in both modes, and holds what differs to what is `known`, mode by mode.
async fn compare(suite: fn(&Target) -> (Command, Reader), known: [&[&str]; 2]) {
    let server = prepared().await;
    let direct = outcomes(
        suite,
        &Target {
            port: server.place().port,
            database: server.database().await,
            user: ROLE.to_owned(),
        },
    )
    .await;
    println!("direct: {}", counts(&direct));
    for (mode, known) in ["Transaction", "Session"].into_iter().zip(known) {
        let pool = format!("mode: {mode}, maxConnections: 200, perUser: {{max: 100}}");
        let policy = Policy::trusted().pool(&pool).timeouts("acquire: 60s");
        let server = prepared().await;
        let policy = policy.database("breaker: {failures: 10000}");
        let stage = Stage::on(&server, policy)
            .secret("db/username", ROLE)
            .start()
            .await;
        let through = outcomes(
            suite,
            &Target {
                port: stage.sidecar.port(),
                database: stage.database.clone(),
                user: format!("{ROLE}+alice"),
            },
        )
        .await;
        println!("{mode}: {}", counts(&through));
        let passed = direct.iter().filter(|(_, passed)| **passed);
        let differ: BTreeSet<_> = passed
            .filter(|(name, _)| !through.get(*name).is_some_and(|passed| *passed))
            .map(|(name, _)| name.as_str())
            .collect();
        let known: BTreeSet<_> = known.iter().copied().collect();
        assert_eq!(
            differ, known,
            "what differs in mode {mode}, and what is known to"
        );
    }
}

fn counts(outcomes: &Outcomes) -> String {
    let passed = outcomes.values().filter(|passed| **passed).count();
    format!("{passed} passed of {}", outcomes.len())
}

/// Reads a test's name and outcome from a line of a suite's output.
type Reader = fn(&str) -> Option<(String, bool)>;

async fn outcomes(suite: fn(&Target) -> (Command, Reader), target: &Target) -> Outcomes {
    let (command, read) = suite(target);
    let said = run_within(command.into(), "", LONG).await;
    let lines = said.output.lines().chain(said.errors.lines());
    let outcomes: Outcomes = lines.filter_map(read).collect();
    assert!(!outcomes.is_empty(), "no test has run: {said:?}");
    outcomes
}

/// pgx's suite, which its module has with it.
fn pgx(target: &Target) -> (Command, Reader) {
    let mut command = drivers::go_command();
    command
        .args(["test", "-count=1", "-p", "1", "-v"])
        // It ends its connection's server by the process id in the cancel key, which is none here, and waits for that without end.
        .args(["-skip", "TestConnCopyFromConnectionTerminated"])
        .args([
            ".",
            "./pgconn",
            "./pgxpool",
            "./stdlib",
            "./pgtype",
            "./tracelog",
            "./multitracer",
        ])
        .current_dir(pgx_sources())
        .env(
            "PGX_TEST_DATABASE",
            format!(
                "host=127.0.0.1 port={} user={} password={PASSWORD} database={} sslmode=disable",
                target.port, target.user, target.database
            ),
        );
    (command, |line| {
        let (outcome, rest) = line.strip_prefix("--- ")?.split_once(": ")?;
        let name = rest.split(' ').next()?;
        (outcome != "SKIP").then(|| (name.to_owned(), outcome == "PASS"))
    })
}

/// A copy of the module that the drivers' program uses; Go keeps its own unwritable.
fn pgx_sources() -> PathBuf {
    let listed = drivers::go_command()
        .args(["list", "-m", "-f", "{{.Dir}}", "github.com/jackc/pgx/v5"])
        .current_dir(of_suite("drivers").join("go"))
        .output()
        .unwrap();
    let sources = String::from_utf8(listed.stdout).unwrap();
    let copy = folder("pgx").join("pgx");
    let copied = Command::new("cp")
        .args(["-r", "--no-preserve=mode", sources.trim_end()])
        .arg(&copy)
        .status();
    assert!(copied.unwrap().success());
    copy
}

/// asyncpg's suite, which its source distribution has with it; without what starts servers of its own.
fn asyncpg(target: &Target) -> (Command, Reader) {
    let mut command = Command::new(python());
    command
        .args(["-W", "ignore", "-m", "unittest", "-v"])
        .args(ASYNCPG.map(|module| format!("tests.test_{module}")))
        .current_dir(asyncpg_sources())
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", target.port.to_string())
        .env("PGUSER", &target.user)
        .env("PGPASSWORD", PASSWORD)
        .env("PGDATABASE", &target.database)
        .env("PGSSLMODE", "disable");
    (command, |line| {
        let (name, outcome) = line.split_once(" ... ")?;
        let name = name.split(' ').next()?;
        let passed = matches!(outcome, "ok");
        (name.starts_with("test_") && !outcome.starts_with("skipped"))
            .then(|| (name.to_owned(), passed))
    })
}

const ASYNCPG: [&str; 17] = [
    "cache_invalidation",
    "cancellation",
    "codecs",
    "copy",
    "cursor",
    "exceptions",
    "execute",
    "introspection",
    "listeners",
    "logging",
    "pool",
    "prepare",
    "record",
    "timeout",
    "transaction",
    "types",
    "utils",
];

fn asyncpg_sources() -> PathBuf {
    let place = folder("asyncpg");
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    run(Command::new(python())
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "asyncpg",
            "-d",
        ])
        .arg(&place)
        .arg("asyncpg==0.32.0"));
    let archive = place.join("asyncpg-0.32.0.tar.gz");
    // Not the package beside the tests, which is not compiled.
    run(Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(&place)
        .arg("asyncpg-0.32.0/tests"));
    Path::new(&place).join("asyncpg-0.32.0")
}

/// They end a connection's server by the process id in the cancel key, which is the sidecar's own.
const PGX_BY_PROCESS_ID: [&str; 5] = [
    "TestFatalRxError",
    "TestFatalTxError",
    "TestPoolAcquireChecksIdleConns",
    "TestCheckIdleConn",
    // It takes two connections with one id for the same; the sidecar gives an id again at once.
    "TestConnReleaseClosesConnInTransaction",
];

#[tokio::test]
#[ignore = "takes ten minutes; make driver-suites runs it"]
async fn pgx_own_suite_differs_only_as_is_known() {
    let both = PGX_BY_PROCESS_ID.into_iter().chain([
        // The server speaks 3.0 alone, and the test expects that; the sidecar speaks 3.2.
        "TestConnectProtocolVersion32",
        // It expects the user that it has named; here a user id stands behind it.
        "TestConnect",
    ]);
    let session: Vec<_> = both.clone().collect();
    let transaction: Vec<_> = both
        .chain([
            // A server that ends is an ERROR: the client goes on.
            "TestBeginTxFatalErrorKillsConn",
            "TestConnDestroyedWhenBeginFailsFatally",
            // They look in pg_prepared_statements, which has the sidecar's names, and keeps what a client has closed.
            "TestPrepareHandlesTimeoutBetweenParseAndDescribe",
            "TestPrepareWithDigestedNameHandlesTimeoutBetweenParseAndDescribe",
            "TestConnMultiplePrepareAndDeallocate",
        ])
        .collect();
    compare(pgx, [&transaction, &session]).await;
}

#[tokio::test]
#[ignore = "takes ten minutes; make driver-suites runs it"]
async fn asyncpgs_own_suite_differs_only_as_is_known() {
    let both = [
        // They compare the id in a notification with the one in the cancel key, or end a connection's server by it.
        "test_listen_01",
        "test_listen_02",
        "test_listen_notletters",
        "test_pool_min_size_restored_after_idle_connection_loss",
    ];
    let transaction: Vec<_> = both
        .into_iter()
        .chain([
            // A server that ends is an ERROR: the client goes on.
            "test_execute_script_interrupted_by_server",
            "test_pool_remote_close",
            // SQL's EXECUTE does not find a statement of the protocol's.
            "test_prepare_explicitly_named",
            // It looks in pg_prepared_statements, which has the sidecar's names.
            "test_copy_records_to_table_no_stmt_cache",
        ])
        .collect();
    compare(asyncpg, [&transaction, &both]).await;
}
