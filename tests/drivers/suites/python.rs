//! The suites that Python's source distributions have with them: asyncpg's and psycopg2's.

use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::processes::folder;
use bulkhead_tests::programs::{cache, of_suite, postgresql, python};

use super::{Reader, Target};

/// asyncpg's suite, without what starts servers of its own.
pub fn asyncpg(target: &Target) -> (Command, Reader) {
    let modules = [
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
    let mut command = suite("asyncpg", "0.32.0", &modules);
    target.environment(&mut command);
    (command, read)
}

/// psycopg2's suite, without what tests no connection.
pub fn psycopg2(target: &Target) -> (Command, Reader) {
    let modules = [
        "async",
        "bugX000",
        "cancel",
        "connection",
        "copy",
        "cursor",
        "dates",
        "errors",
        "extras_dictcursor",
        "fast_executemany",
        "green",
        "ipaddress",
        "lobject",
        "notify",
        "psycopg2_dbapi20",
        "quote",
        "sql",
        "transaction",
        "types_basic",
        "types_extras",
        "with",
    ];
    let mut command = suite("psycopg2", "2.9.13", &modules);
    let libraries = kept("suite-psycopg2-binary-2.9.13", |place| {
        run(Command::new(python())
            .args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(place)
            .arg("psycopg2-binary==2.9.13"));
    });
    target.environment(&mut command);
    command
        .env("PYTHONPATH", &libraries)
        .env("PSYCOPG2_TESTDB", &target.database);
    (command, read)
}

fn suite(package: &str, version: &str, modules: &[&str]) -> Command {
    let mut command = Command::new(python());
    command
        .args(["-W", "ignore"])
        .arg(of_suite("drivers").join("python/own_suite.py"))
        .args(modules.iter().map(|module| format!("tests.test_{module}")))
        .current_dir(sources(package, version));
    command
}

/// The tests of a source distribution: not the package beside them, which is not compiled.
fn sources(package: &str, version: &str) -> PathBuf {
    let name = format!("{package}-{version}");
    let programs = postgresql("pg_config");
    let programs = programs.parent().unwrap_or(Path::new("/")).display();
    let path = std::env::var("PATH").unwrap_or_default();
    let place = kept(&format!("suite-{name}"), |place| {
        run(Command::new(python())
            .args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--no-binary", package, "-d"])
            .arg(place)
            .arg(format!("{package}=={version}"))
            .env("PATH", format!("{programs}:{path}")));
        run(Command::new("tar")
            .arg("-xzf")
            .arg(place.join(format!("{name}.tar.gz")))
            .arg("-C")
            .arg(place)
            .arg(format!("{name}/tests")));
    });
    place.join(name)
}

/// A folder of the cache: made once, whole or not at all.
fn kept(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let place = cache().join(name);
    if !place.exists() {
        let made = folder("suite").join("made");
        std::fs::create_dir(&made).unwrap();
        make(&made);
        let making = cache().join(format!("{name}.making"));
        run(Command::new("cp").arg("-rT").arg(&made).arg(&making));
        std::fs::rename(making, &place).unwrap();
    }
    place
}

/// Runs what has to end well.
fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// asyncpg expects a client to hear of an error before it has sent all. Whether it does is a matter of how much the sockets on the way
/// hold, and there are twice as many.
const LEFT_OUT: &str = "execute.TestExecuteMany.test_executemany_server_failure_during_writes";

/// Reads what `own_suite.py` says.
fn read(line: &str) -> Option<(String, bool)> {
    let (outcome, name) = line.split_once(' ')?;
    let passed = match outcome {
        "pass" => true,
        "fail" => false,
        _ => return None,
    };
    let name = name.strip_prefix("tests.test_")?;
    (name != LEFT_OUT).then(|| (name.to_owned(), passed))
}
