//! Clients as applications use them: redis-py and ioredis, with keys that are shared and with keys of each user's own.

use std::process::Command;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::programs;

use super::stage::Stage;

fn policies() -> [Policy; 2] {
    let pool = "pool: {perUser: {max: 4}}";
    [
        Policy::trusted().redis(pool),
        Policy::trusted().redis(&format!("{{{pool}, session: {{keyPrefix: '{{user}}:'}}}}")),
    ]
}

fn behaves(command: impl Fn() -> Command) {
    for policy in policies() {
        let stage = Stage::start(&policy);
        let ran = command()
            .arg(stage.sidecar.port().to_string())
            .arg("alice")
            .output()
            .unwrap();
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
