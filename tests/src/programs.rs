//! Where the programs are that the suites need, and what to type when one is missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program of PostgreSQL (`postgres`, `initdb`, `psql`, `pgbench` …): from `PG_BIN`, Debian's folders, or `PATH`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn postgresql(program: &str) -> PathBuf {
    folder_of_postgresql().join(program)
}

fn folder_of_postgresql() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("PG_BIN") {
            return PathBuf::from(folder);
        }
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .filter(|folder| folder.join("initdb").exists())
            .collect();
        versions.sort();
        versions
            .pop()
            .or_else(|| Some(in_path("initdb")?.parent()?.to_path_buf()))
            .unwrap_or_else(|| {
                panic!(
                    "PostgreSQL's server is missing; install it with `apt-get install -y postgresql`, \
                     or name its folder in PG_BIN"
                )
            })
    })
}

/// `promtool`, which checks an exposition against Prometheus' own rules.
///
/// # Panics
/// When it is missing.
#[must_use]
pub fn promtool() -> PathBuf {
    in_path("promtool").unwrap_or_else(|| {
        panic!(
            "promtool is missing; install it with `apt-get install -y --no-install-recommends prometheus`"
        )
    })
}

/// The sidecar: `BULKHEAD_SIDECAR`, or the one that was built beside this test binary.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn sidecar() -> PathBuf {
    if let Some(path) = std::env::var_os("BULKHEAD_SIDECAR") {
        return PathBuf::from(path);
    }
    built_beside_this("bulkhead-sidecar")
}

/// The operator: `BULKHEAD_OPERATOR`, or the one that was built beside this test binary.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn operator() -> PathBuf {
    std::env::var_os("BULKHEAD_OPERATOR")
        .map_or_else(|| built_beside_this("bulkhead-operator"), PathBuf::from)
}

/// A program of this workspace: this is `target/<profile>/deps/<test>`, and the program `target/<profile>/<name>`.
fn built_beside_this(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own
        .ancestors()
        .nth(2)
        .map(|folder| folder.join(name))
        .filter(|path| path.exists());
    path.unwrap_or_else(|| {
        panic!("{name} has not been built; build it with `cargo build -p {name}`")
    })
}

/// A Python with psycopg 3, asyncpg and jsonschema, made once in a virtual environment under `BULKHEAD_CACHE` (by default `~/.cache/bulkhead`).
///
/// # Panics
/// When Python or one of them cannot be had; the message says which command would have made it.
#[must_use]
pub fn python() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(make_python).clone()
}

/// The folder of what is made once for this machine, outside of the tree: `BULKHEAD_CACHE`, or `bulkhead` in the user's cache.
///
/// # Panics
/// When there is no home.
#[must_use]
pub fn cache() -> PathBuf {
    let named = std::env::var_os("BULKHEAD_CACHE").map(PathBuf::from);
    let users =
        || std::env::var_os("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("bulkhead"));
    named.or_else(users).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/bulkhead")
    })
}

/// The releases of the Python packages that the suites are written against. `format-nongpl` checks URIs.
const PYTHON_PACKAGES: [&str; 3] = [
    "psycopg[binary]==3.3.*",
    "asyncpg==0.32.*",
    "jsonschema[format-nongpl]==4.26.*",
];

fn make_python() -> PathBuf {
    let cache = cache();
    std::fs::create_dir_all(&cache).unwrap();
    let folder = cache.join("python-psycopg-3.3-asyncpg-0.32-jsonschema-4.26");
    let python = folder.join("bin/python");
    let ready = folder.join("ready");
    // Two test processes may start at once on a machine that has neither.
    let lock = std::fs::File::create(cache.join("python.lock")).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        run(
            Command::new("python3").args(["-m", "venv"]).arg(&folder),
            "install it with `apt-get install -y python3-venv`",
        );
        run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args(PYTHON_PACKAGES),
            "a package index must be within reach",
        );
        std::fs::write(&ready, PYTHON_PACKAGES.join("\n")).unwrap();
    }
    python
}

fn run(command: &mut Command, advice: &str) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; {advice}"));
    assert!(
        output.status.success(),
        "{command:?} failed; {advice}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.exists())
}
