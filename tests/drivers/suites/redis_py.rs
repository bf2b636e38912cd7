//! redis-py's suite, from its source distribution: without what wants a cluster, a sentinel, modules or TLS, and without what speaks to no server.

use std::process::Command;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::programs::python_for_redis_suite;
use bulkhead_tests::redis::Server;
use bulkhead_tests::sidecar::{Launch, Sidecar};

use super::known::{judge, known};
use super::{Reader, python, ran};

/// What the policies are called that it runs under.
pub(super) const POLICIES: [&str; 3] = ["Shared", "Audit", "Dedicated"];

const MODULES: [&str; 12] = [
    "commands",
    "connection",
    "connection_pool",
    "encoding",
    "function",
    "keyspace_notifications",
    "lock",
    "monitor",
    "multiprocessing",
    "pipeline",
    "pubsub",
    "scripting",
];

/// What says in pytest's words which tests are not for a server alone.
const MARKS: &str =
    "not onlycluster and not redismod and not ssl and not cp_integration and not fixed_client";

/// It sets a password on the server, and where AUTH does not go to the server it does not come to the place where it takes it off again:
/// nothing behind it would be let in.
const LEFT_OUT: &str = "tests/test_commands.py::TestRedisCommands::test_auth";

/// Runs the suite direct and under each policy, and holds what differs to what is known.
pub(super) async fn compare() {
    let server = server();
    let url = format!("redis://127.0.0.1:{}/0", server.port());
    let direct = ran("redis-py", "direct", suite(&url), read as Reader).await;
    let mut told = Vec::new();
    for name in POLICIES {
        let (policy, user) = match name {
            "Shared" => (Policy::trusted().tier("Shared"), ""),
            "Audit" => (Policy::trusted().spec("mode: Audit"), ""),
            _ => (Policy::trusted(), "default+alice:anything@"),
        };
        let server = self::server();
        let policy = policy.redis(
            "{pool: {perUser: {max: 100}, maxConnections: 300}, breaker: {failures: 10000}}",
        );
        let sidecar = sidecar(policy, server.port());
        let url = format!("redis://{user}127.0.0.1:{}/0", sidecar.port());
        let through = ran("redis-py", name, suite(&url), read as Reader).await;
        if let Err(differs) = judge(&direct, &through, &known("redis-py", name)) {
            told.push(format!("under {name}:\n{differs}"));
        }
    }
    assert!(told.is_empty(), "{}", told.concat());
}

fn server() -> Server {
    Server::own_with(&["--enable-debug-command", "yes"])
}

fn sidecar(policy: Policy, upstream: u16) -> Sidecar {
    let launch = Launch {
        secrets: Vec::new(),
        workers: 2,
        grace: "1s",
        ready: true,
        arguments: Vec::new(),
        variables: Vec::new(),
        group: None,
    };
    Sidecar::start(&policy, upstream, "0", &launch)
}

fn suite(url: &str) -> Command {
    let mut command = Command::new(python_for_redis_suite());
    command
        .args(["-B", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA"])
        .args(["--no-header", "--tb=short", "--timeout=60"])
        .args(["--redis-url", url, "-m", MARKS, "--deselect", LEFT_OUT])
        .args(MODULES.map(|module| format!("tests/test_{module}.py")))
        .current_dir(python::sources("redis", "8.1.0"));
    command
}

/// Reads pytest's last words: `PASSED tests/test_commands.py::TestRedisCommands::test_get`, and a reason behind a dash. A parameter of a test may
/// hold an address, so a test is named without.
fn read(line: &str) -> Option<(String, bool)> {
    let (outcome, name) = line.split_once(' ')?;
    let passed = match outcome {
        "PASSED" => true,
        "FAILED" | "ERROR" => false,
        _ => return None,
    };
    let name = name.split(" - ").next()?.strip_prefix("tests/test_")?;
    Some((name.replacen(".py::", ".", 1).replace("::", "."), passed))
}
