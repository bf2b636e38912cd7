//! The toolchains of the drivers' suite: Go, Java and Node, with the libraries that `tests/drivers/fetch` puts into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{in_path, run};
use crate::processes::folder;

/// The Go program `package` of a module, built beside this test binary.
///
/// # Panics
/// When Go is missing, or the program does not build.
#[must_use]
pub fn go(module: &Path, package: &str) -> PathBuf {
    fetched("go");
    let own = std::env::current_exe().unwrap();
    let built = own.with_file_name("go").join(package);
    run(
        go_command()
            .args(["build", "-o"])
            .arg(&built)
            .arg(format!("./{package}"))
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .current_dir(module),
        "run tests/setup/ensure go",
    );
    built
}

/// Go itself, which a fresh shell may not have on its `PATH`.
#[must_use]
pub fn go_command() -> Command {
    Command::new(in_path("go").unwrap_or_else(|| PathBuf::from("/usr/local/go/bin/go")))
}

/// A command that compiles and runs a Java program of one file, with `PostgreSQL`'s driver and `HikariCP` at hand.
///
/// # Panics
/// When Java or the libraries cannot be had; the message says which command would have installed them.
#[must_use]
pub fn java(program: &Path) -> Command {
    let java = in_path("java")
        .unwrap_or_else(|| panic!("Java is missing; install it with tests/setup/ensure java"));
    let mut command = Command::new(java);
    command
        .arg("-cp")
        .arg(fetched("jars").join("*"))
        // What a short-lived program on a small machine wants: no compiling of what runs once.
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .arg(program);
    command
}

/// A command that runs a module of Node's which may import node-postgres and its companions.
///
/// # Panics
/// When Node or the packages cannot be had; the message says which command would have installed them.
#[must_use]
pub fn node(program: &Path) -> Command {
    let node = in_path("node")
        .unwrap_or_else(|| panic!("Node is missing; install it with tests/setup/ensure nodejs"));
    // Node looks for packages beside the program, and writes nothing into the tree here.
    let place = folder("node");
    std::os::unix::fs::symlink(fetched("node"), place.join("node_modules")).unwrap();
    let copy = place.join(program.file_name().expect("a program has a name"));
    std::fs::copy(program, &copy).unwrap();
    let mut command = Command::new(node);
    command.arg(copy);
    command
}

/// Where `tests/drivers/fetch` has put `what`.
fn fetched(what: &'static str) -> PathBuf {
    static PLACES: [OnceLock<PathBuf>; 3] = [OnceLock::new(), OnceLock::new(), OnceLock::new()];
    let place = match what {
        "go" => &PLACES[0],
        "jars" => &PLACES[1],
        _ => &PLACES[2],
    };
    place
        .get_or_init(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers/fetch");
            let output = Command::new(&script).arg(what).output().unwrap();
            assert!(
                output.status.success(),
                "{script:?} {what} failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
            PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
        })
        .clone()
}
