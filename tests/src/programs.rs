//! Where the programs are that the suites need, and what to type when one is missing.

pub mod drivers;

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

/// Prometheus itself, of the same package.
///
/// # Panics
/// When it is missing.
#[must_use]
pub fn prometheus() -> PathBuf {
    in_path("prometheus").unwrap_or_else(|| {
        panic!("Prometheus is missing; install it with `tests/setup/ensure promtool`")
    })
}

/// A program of Debian's Alertmanager: `prometheus-alertmanager` or `amtool`.
///
/// # Panics
/// When it is missing.
#[must_use]
pub fn alertmanager(program: &str) -> PathBuf {
    in_path(program).unwrap_or_else(|| {
        panic!("{program} is missing; install it with `tests/setup/ensure alertmanager`")
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

/// A Python with psycopg 3 and its pool, asyncpg, `SQLAlchemy` and jsonschema, made once in a virtual environment under `BULKHEAD_CACHE` (by default `~/.cache/bulkhead`).
///
/// # Panics
/// When Python or one of them cannot be had; the message says which command would have made it.
#[must_use]
pub fn python() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON
        .get_or_init(|| make_python(PYTHON_FOLDER, &PYTHON_PACKAGES))
        .clone()
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

/// A Python with WebSocket servers and clients: websockets, Starlette on uvicorn, hypercorn and
/// httpx for HTTP/2. Made once, as [`python`] is.
///
/// # Panics
/// When Python or one of them cannot be had; the message says which command would have made it.
#[must_use]
pub fn python_for_the_web() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON
        .get_or_init(|| make_python(WEB_FOLDER, &WEB_PACKAGES))
        .clone()
}

/// ClickHouse's server, as Debian has it.
///
/// # Panics
/// When it is missing.
#[must_use]
pub fn clickhouse() -> PathBuf {
    let debian = PathBuf::from("/usr/sbin/clickhouse-server");
    let found = Some(debian).filter(|path| path.exists());
    found
        .or_else(|| in_path("clickhouse-server"))
        .unwrap_or_else(|| {
            panic!(
                "ClickHouse's server is missing; install it with `tests/setup/ensure clickhouse`"
            )
        })
}

/// A Python with clickhouse-connect, and with the engine of a newer ClickHouse as a library (chDB). Made once, as [`python`] is.
///
/// # Panics
/// When Python or one of them cannot be had; the message says which command would have made it.
#[must_use]
pub fn python_for_clickhouse() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON
        .get_or_init(|| make_python(CLICKHOUSE_FOLDER, &CLICKHOUSE_PACKAGES))
        .clone()
}

/// Node, and the folder in which it finds the package `ws`, installed once into the cache.
///
/// # Panics
/// When Node or the package cannot be had; the message says which command would have installed it.
#[must_use]
pub fn node() -> (PathBuf, PathBuf) {
    static NODE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    NODE.get_or_init(|| make_node(NODE_WS)).clone()
}

/// A Python with redis-py. Made once, as [`python`] is.
///
/// # Panics
/// When Python or it cannot be had; the message says which command would have made it.
#[must_use]
pub fn python_for_redis() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON
        .get_or_init(|| make_python("python-redis-8.1", &["redis==8.1.0"]))
        .clone()
}

/// Node, and the folder in which it finds the package `ioredis`, installed once into the cache.
///
/// # Panics
/// When Node or the package cannot be had; the message says which command would have installed it.
#[must_use]
pub fn node_for_redis() -> (PathBuf, PathBuf) {
    static NODE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    NODE.get_or_init(|| make_node(NODE_IOREDIS)).clone()
}

/// Node, and the script of TypeScript's compiler, installed once into the cache.
///
/// # Panics
/// When Node or the package cannot be had; the message says which command would have installed it.
#[must_use]
pub fn typescript() -> (PathBuf, PathBuf) {
    let (node, modules) = make_node(TYPESCRIPT);
    (node, modules.join("typescript/bin/tsc"))
}

/// Chromium: `CHROMIUM`, or the one in `PATH`.
///
/// # Panics
/// When it is missing.
#[must_use]
pub fn chromium() -> PathBuf {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    named.or_else(|| in_path("chromium")).unwrap_or_else(|| {
        panic!(
            "Chromium is missing; install it with `apt-get install -y --no-install-recommends chromium`, \
             or name a Chromium or a Chrome in CHROMIUM"
        )
    })
}

/// curl, a client of HTTP/1.1 and of HTTP/2 without TLS.
///
/// # Panics
/// When it is missing.
#[must_use]
pub fn curl() -> PathBuf {
    in_path("curl")
        .unwrap_or_else(|| panic!("curl is missing; install it with `apt-get install -y curl`"))
}

/// The releases of the Python packages that the suites are written against. `format-nongpl` checks URIs.
const PYTHON_PACKAGES: [&str; 4] = [
    "psycopg[binary,pool]==3.3.*",
    "asyncpg==0.32.*",
    "sqlalchemy[asyncio]==2.1.*",
    "jsonschema[format-nongpl]==4.26.*",
];
/// Where they are installed, in the cache.
const PYTHON_FOLDER: &str = "python-psycopg-3.3-pool-asyncpg-0.32-sqlalchemy-2.1-jsonschema-4.26";

/// The same for WebSockets and HTTP.
const WEB_PACKAGES: [&str; 6] = [
    "websockets==17.*",
    "uvicorn==0.54.*",
    "starlette==1.10.*",
    "hypercorn==0.18.*",
    "httpx[http2]==0.28.*",
    "pyjwt[crypto]==2.15.*",
];
/// Where they are installed, in the cache.
const WEB_FOLDER: &str =
    "python-websockets-17-uvicorn-0.54-starlette-1.10-hypercorn-0.18-httpx-0.28-pyjwt-2.15";

/// The same for ClickHouse.
const CLICKHOUSE_PACKAGES: [&str; 2] = ["clickhouse-connect==1.12.*", "chdb-core==26.9.*"];
/// Where they are installed, in the cache.
const CLICKHOUSE_FOLDER: &str = "python-clickhouse-connect-1.12-chdb-core-26.9";

/// The release of Node's package `ws`.
const NODE_WS: &str = "ws@8.23.0";
/// The release of Node's package `ioredis`.
const NODE_IOREDIS: &str = "ioredis@6.0.0";
/// The release of TypeScript's compiler, which checks the types of the JavaScript client.
const TYPESCRIPT: &str = "typescript@5.9.3";

fn make_python(folder: &str, packages: &[&str]) -> PathBuf {
    let cache = cache();
    let folder = cache.join(folder);
    let python = folder.join("bin/python");
    let _lock = locked(&cache, "python.lock");
    let ready = folder.join("ready");
    if !ready.exists() {
        run(
            Command::new("python3").args(["-m", "venv"]).arg(&folder),
            "install it with `apt-get install -y python3-venv`",
        );
        run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args(packages),
            "a package index must be within reach",
        );
        std::fs::write(&ready, packages.join("\n")).unwrap();
    }
    python
}

fn make_node(package: &str) -> (PathBuf, PathBuf) {
    const ADVICE: &str = "install Node with `apt-get install -y nodejs npm`";
    let cache = cache();
    let node = in_path("node").unwrap_or_else(|| panic!("node is missing; {ADVICE}"));
    let folder = cache.join(format!("node-{}", package.replace('@', "-")));
    let modules = folder.join("node_modules");
    let _lock = locked(&cache, "node.lock");
    let ready = folder.join("ready");
    if !ready.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        run(
            Command::new("npm")
                .args(["install", "--ignore-scripts", "--no-audit", "--no-fund"])
                .arg("--prefix")
                .arg(&folder)
                .arg(package),
            ADVICE,
        );
        std::fs::write(&ready, package).unwrap();
    }
    (node, modules)
}

/// Two test processes may start at once on a machine that has nothing yet.
fn locked(cache: &Path, name: &str) -> std::fs::File {
    std::fs::create_dir_all(cache).unwrap();
    let lock = std::fs::File::create(cache.join(name)).unwrap();
    lock.lock().unwrap();
    lock
}

/// The folder of the programs that a suite brings along.
#[must_use]
pub fn of_suite(suite: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(suite)
        .join("programs")
}

/// The folder of this repository's client library for `language`.
#[must_use]
pub fn client_library(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../clients")
        .join(language)
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
