//! Clients as applications use them: redis-py, ioredis, go-redis and redis-benchmark, with keys that are shared, with keys of each user's own,
//! and with a Redis user of each user's own.

use std::process::Command;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::programs::{self, drivers};
use bulkhead_tests::redis::Server;

use super::stage::Stage;

/// Policies under which clients must do, and whether users may run scripts.
pub fn policies() -> [(Policy, bool); 3] {
    let entry = |session: &str| {
        let upstream = "upstream: {credentialsSecretRef: {name: redis}}";
        Policy::trusted().redis(&format!(
            "{{{upstream}, pool: {{perUser: {{max: 4}}}}, session: {{{session}}}}}"
        ))
    };
    [
        (entry(""), true),
        (entry("keyPrefix: '{user}:'"), false),
        (entry("keyPrefix: '{user}:', acl: PerUser"), true),
    ]
}

impl Stage {
    /// A sidecar for one of these policies.
    pub fn for_clients(policy: &Policy) -> Self {
        let server = Server::own();
        server.connect().ask_line("CONFIG SET requirepass hidden");
        let secrets = [("redis/username", "default"), ("redis/password", "hidden")];
        Self::before(server, policy, &secrets)
    }
}

fn behaves(command: impl Fn() -> Command) {
    for (policy, runs_scripts) in policies() {
        let stage = Stage::for_clients(&policy);
        let mut command = command();
        command.arg(stage.sidecar.port().to_string()).arg("alice");
        if runs_scripts {
            command.arg("scripts");
        }
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(
            ran.status.success() && said.trim() == "well",
            "{said}{errors}"
        );
        let open = stage.sidecar.metric(
            "bulkhead_server_connections",
            &[("upstream", "main"), ("state", "connecting")],
        );
        assert!(open < 0.5);
    }
}

#[test]
fn redis_py_works() {
    behaves(|| {
        let mut command = Command::new(programs::python_for_redis());
        command
            .arg("-B")
            .arg(programs::of_suite("redis").join("with_redis_py.py"));
        command
    });
}

#[test]
fn ioredis_works() {
    behaves(|| {
        let (node, modules) = programs::node_for_redis();
        let mut command = Command::new(node);
        command
            .arg(programs::of_suite("redis").join("with_ioredis.mjs"))
            .env("NODE_PATH", modules);
        command
    });
}

#[test]
fn go_redis_works() {
    behaves(|| {
        Command::new(drivers::go(
            &programs::of_suite("redis").join("go"),
            "client",
        ))
    });
}

#[test]
fn redis_benchmark_works() {
    for (policy, _) in policies() {
        let stage = Stage::for_clients(&policy);
        let ran = Command::new("redis-benchmark")
            .args(["-p", &stage.sidecar.port().to_string()])
            .args(["--user", "default+alice", "-a", "anything"])
            .args([
                "-n", "4000", "-c", "20", "-P", "8", "-r", "100", "-d", "100", "--csv",
            ])
            .args([
                "-t",
                "ping,set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset",
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}{errors}");
        assert!(!errors.contains("Error"), "{errors}");
        let measured = said.lines().filter(|line| line.starts_with('"')).count();
        assert!(measured > 10, "{said}{errors}");
        let mut direct = stage.direct();
        direct.ask_line("AUTH hidden");
        let stats = direct.ask_line("INFO errorstats").text();
        // It asks for the server's configuration, which a prefix keeps from it.
        assert!(!stats.contains("errorstat_ERR"), "{stats}");
    }
}
