//! The suites that Go modules have with them: pgx' and lib/pq's.

use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::postgres::PASSWORD;
use bulkhead_tests::processes::folder;
use bulkhead_tests::programs::{drivers, of_suite};
use serde::Deserialize;

use super::{Reader, Target};

/// pgx' suite.
pub fn pgx(target: &Target) -> (Command, Reader) {
    let packages = [
        ".",
        "./pgconn",
        "./pgxpool",
        "./stdlib",
        "./pgtype",
        "./tracelog",
        "./multitracer",
    ];
    let mut command = suite(&of_the_programs("github.com/jackc/pgx/v5"), &packages);
    // The first ends its connection's server by the process id in the cancel key, which is none here, and waits for that without end.
    // The second takes two connections of one id for the same; the sidecar gives an id again at once, and to whom is chance.
    command
        .args([
            "-skip",
            "TestConnCopyFromConnectionTerminated|TestConnReleaseClosesConnInTransaction",
        ])
        .env(
            "PGX_TEST_DATABASE",
            format!(
                "host=127.0.0.1 port={} user={} password={PASSWORD} database={} sslmode=disable",
                target.port, target.user, target.database
            ),
        );
    (command, read)
}

/// lib/pq's suite.
pub fn pq(target: &Target) -> (Command, Reader) {
    let mut command = suite("github.com/lib/pq@v1.12.3", &["./..."]);
    // They hold the machine to 100 ms, and the second ends the whole run where that is not kept.
    command.args(["-skip", "TestQueryRowContext|TestListenerClose"]);
    target.environment(&mut command);
    (command, read)
}

/// A command that runs the tests of a module, which is named with its version.
fn suite(module: &str, packages: &[&str]) -> Command {
    let mut command = drivers::go_command();
    command
        .args([
            "test",
            "-json",
            "-count=1",
            "-p=1",
            "-parallel=1",
            "-timeout=40m",
        ])
        .args(packages)
        .current_dir(sources(module));
    command
}

/// A copy of a module's sources; Go keeps its own unwritable.
fn sources(module: &str) -> PathBuf {
    let place = folder("suite");
    let said = go(&place, &["mod", "download", "-json", module]);
    let kept: Kept = serde_json::from_str(&said).unwrap();
    let copy = place.join("sources");
    let copied = Command::new("cp")
        .args(["-r", "--no-preserve=mode"])
        .args([&kept.dir, &copy])
        .status();
    assert!(copied.unwrap().success());
    copy
}

/// Where `go mod download` has put a module.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    dir: PathBuf,
}

/// The module that the drivers' programs use, with its version.
fn of_the_programs(module: &str) -> String {
    let programs = of_suite("drivers").join("go");
    let format = "{{.Path}}@{{.Version}}";
    go(&programs, &["list", "-m", "-f", format, module])
        .trim_end()
        .to_owned()
}

fn go(folder: &Path, arguments: &[&str]) -> String {
    let said = drivers::go_command()
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(said.status.success(), "{arguments:?}: {said:?}");
    String::from_utf8(said.stdout).unwrap()
}

/// An event of `go test -json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    package: String,
    test: Option<String>,
}

/// A test is named with the last word of its package's path; a subtest is its test's.
fn read(line: &str) -> Option<(String, bool)> {
    let event: Event = serde_json::from_str(line).ok()?;
    let test = event.test.filter(|test| !test.contains('/'))?;
    let package = event.package.rsplit('/').next()?;
    let passed = match event.action.as_str() {
        "pass" => true,
        "fail" => false,
        _ => return None,
    };
    Some((format!("{package}.{test}"), passed))
}
