//! The drivers' own suites, as their authors run them: direct, and through the sidecar in each pool mode. What differs is in
//! `known.yaml` with its reason, and nothing else may. `make driver-suites` runs them; docs/postgresql.md has the counts.

mod go;
mod known;
mod python;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::{PASSWORD, Server};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tools::run_within;

use known::{Outcomes, judge, known};

/// The suites that there are.
const SUITES: [&str; 4] = ["pgx", "pq", "asyncpg", "psycopg2"];

/// The pool modes that they run in.
const MODES: [&str; 2] = ["Transaction", "Session"];

/// A superuser, which the suites ask for.
const ROLE: &str = "suite";

/// One run of a suite takes some minutes on a busy machine.
const LONG: Duration = Duration::from_secs(3000);

/// What a suite is given to connect to.
struct Target {
    port: u16,
    database: String,
    /// The PostgreSQL user: through the sidecar with a user id behind it.
    user: String,
}

impl Target {
    /// Says it in libpq's words.
    fn environment(&self, command: &mut Command) {
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", PASSWORD)
            .env("PGDATABASE", &self.database)
            .env("PGSSLMODE", "disable");
    }
}

/// Reads a test's name and outcome from a line of a suite's output; `None` where it says nothing, or the test was skipped.
type Reader = fn(&str) -> Option<(String, bool)>;

/// A suite, to be run against a target.
type Suite = fn(&Target) -> (Command, Reader);

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

/// Runs a suite direct and in both modes, and holds what differs to what is known, mode by mode.
async fn compare(name: &str, suite: Suite) {
    let server = prepared().await;
    let target = Target {
        port: server.place().port,
        database: server.database().await,
        user: ROLE.to_owned(),
    };
    let direct = outcomes(name, "direct", suite, &target).await;
    let mut told = Vec::new();
    for mode in MODES {
        let through = through(name, mode, suite).await;
        if let Err(differs) = judge(&direct, &through, &known(name, mode)) {
            told.push(format!("in mode {mode}:\n{differs}"));
        }
    }
    assert!(told.is_empty(), "{}", told.concat());
}

async fn through(name: &str, mode: &str, suite: Suite) -> Outcomes {
    let pool = format!("mode: {mode}, maxConnections: 200, perUser: {{max: 100}}");
    let policy = Policy::trusted().pool(&pool).timeouts("acquire: 60s");
    let server = prepared().await;
    let policy = policy.database("breaker: {failures: 10000}");
    let stage = Stage::on(&server, policy)
        .secret("db/username", ROLE)
        .start()
        .await;
    let target = Target {
        port: stage.sidecar.port(),
        database: stage.database.clone(),
        user: format!("{ROLE}+alice"),
    };
    outcomes(name, mode, suite, &target).await
}

/// Runs a suite, and keeps what it has said beside the tests' other files, for whoever looks into a difference.
async fn outcomes(name: &str, way: &str, suite: Suite, target: &Target) -> Outcomes {
    let (command, read) = suite(target);
    let said = run_within(command.into(), "", LONG).await;
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("suite-{name}-{way}.log"));
    std::fs::write(&log, format!("{}\n{}", said.output, said.errors)).unwrap();
    let outcomes: Outcomes = said.output.lines().filter_map(read).collect();
    let passed = outcomes.values().filter(|passed| **passed).count();
    println!(
        "{name}, {way}: {passed} passed of {} ({})",
        outcomes.len(),
        log.display()
    );
    assert!(passed > 0, "no test has passed: {}", said.errors);
    outcomes
}

#[tokio::test]
#[ignore = "takes ten minutes; make driver-suites runs it"]
async fn pgx_own_suite_differs_only_as_is_known() {
    compare("pgx", go::pgx).await;
}

#[tokio::test]
#[ignore = "takes minutes; make driver-suites runs it"]
async fn pqs_own_suite_differs_only_as_is_known() {
    compare("pq", go::pq).await;
}

#[tokio::test]
#[ignore = "takes ten minutes; make driver-suites runs it"]
async fn asyncpgs_own_suite_differs_only_as_is_known() {
    compare("asyncpg", python::asyncpg).await;
}

#[tokio::test]
#[ignore = "takes minutes; make driver-suites runs it"]
async fn psycopg2s_own_suite_differs_only_as_is_known() {
    compare("psycopg2", python::psycopg2).await;
}
