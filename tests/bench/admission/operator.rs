//! The operator that is measured: the release build, a process of its own, outside the cluster.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::processes::{Running, free_port};
use rustix::process::Signal;

/// The operator's namespace.
pub const NAMESPACE: &str = "bulkhead-system";

/// A replica that runs.
#[derive(Debug)]
pub struct Operator {
    running: Running,
    /// Where its webhooks are.
    pub webhook: SocketAddr,
}

impl Operator {
    /// Starts it with the engine `policy` or `webhook`.
    ///
    /// # Panics
    /// When it has not been built.
    pub fn start(plane: &ControlPlane, engine: &str) -> Self {
        let webhook = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = std::fs::File::create(plane.folder().join("operator.log")).expect("a log");
        let mut command = Command::new(binary());
        command
            .arg("run")
            .arg("--kubeconfig")
            .arg(plane.kubeconfig())
            .args(["--namespace", NAMESPACE, "--injection-engine", engine])
            .args(["--webhook", &webhook.to_string()])
            .args(["--webhook-url", &format!("https://{webhook}")])
            .args(["--admin", &admin.to_string()])
            // A successor must not wait for the lease of the one before.
            .args(["--lease-duration", "3s", "--repair-interval", "1s"])
            .stdout(Stdio::from(log.try_clone().expect("a log")))
            .stderr(Stdio::from(log));
        let running = Running::start("bulkhead-operator", &mut command).ended_by(Signal::TERM);
        Self { running, webhook }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Ends it, as a rollout does.
    pub fn stop(mut self) {
        self.running.signal(Signal::TERM);
        self.running.wait(Duration::from_secs(30));
    }
}

/// target/release/deps/<this>, and the operator is target/release/bulkhead-operator.
fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let path = own
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("bulkhead-operator"))
        .filter(|path| path.exists());
    path.unwrap_or_else(|| {
        panic!("the operator has not been built; build it with `cargo build --release -p bulkhead-operator`")
    })
}
