//! The operator under test: the real binary, against a control plane, with ports of its own.
//!
//! It stands outside of the cluster, as the API server does in the suites, so its webhooks are reached by a URL on loopback. The
//! objects that it installs are the cluster's, not a namespace's: who starts operators has a control plane of their own.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;

use crate::cluster::{ControlPlane, Options};
use crate::logs::Log;
use crate::metrics::Metrics;
use crate::processes::{Running, folder, free_port};
use crate::{admin, programs, wait};

/// The operator's own namespace in the suites.
pub const NAMESPACE: &str = "bulkhead-system";

/// The longest that an operator may take to come up, to lead, or to install what it has to.
pub const READY: Duration = Duration::from_secs(60);

/// A control plane in which an operator can be started: the definitions are applied, and [`NAMESPACE`] is there.
///
/// # Panics
/// When it does not come up.
pub async fn control_plane() -> ControlPlane {
    control_plane_with(Options {
        controller_manager: false,
        ..Options::default()
    })
    .await
}

/// The same, as `options` say.
///
/// # Panics
/// When it does not come up.
pub async fn control_plane_with(options: Options) -> ControlPlane {
    let cluster = ControlPlane::start_with(options).await;
    prepare(&cluster).await;
    cluster
}

/// Applies the definitions and makes [`NAMESPACE`], under Pod Security `restricted` as the chart does.
///
/// # Panics
/// When the API server refuses.
pub async fn prepare(cluster: &ControlPlane) {
    let definitions = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/");
    let _applied = cluster
        .kubectl(&["apply", "--server-side", "-f", definitions])
        .await
        .well();
    let manifest = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: restricted\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: default\n  namespace: {NAMESPACE}\n"
    );
    let _made = cluster
        .kubectl_with(&["apply", "--server-side", "-f", "-"], &manifest)
        .await
        .well();
}

/// How an operator is started.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// More arguments of `run`.
    pub arguments: Vec<String>,
    /// The kubeconfig; by default the administrator's.
    pub kubeconfig: Option<PathBuf>,
}

/// An operator that runs.
#[derive(Debug)]
pub struct Operator {
    process: Running,
    admin: u16,
    webhook: u16,
    /// What it writes to its log.
    pub log: Log,
    ended: bool,
}

impl Operator {
    /// Starts an operator, and waits until it is ready to answer reviews.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(cluster: &ControlPlane) -> Self {
        Self::start_with(cluster, &Launch::default()).await
    }

    /// Starts an operator as `launch` says, and waits until it is ready to answer reviews.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_with(cluster: &ControlPlane, launch: &Launch) -> Self {
        let mut operator = Self::spawn(cluster, launch);
        wait::until_within(READY, "a ready operator", || {
            assert!(operator.runs(), "it ended:\n{}", operator.log.text());
            let ready = operator.is_ready();
            async move { ready }
        })
        .await;
        operator
    }

    /// Starts an operator, and waits for nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(cluster: &ControlPlane, launch: &Launch) -> Self {
        let (admin, webhook) = (free_port(), free_port());
        let path = folder("operator").join("log");
        let file = File::create(&path).unwrap();
        let kubeconfig = launch.kubeconfig.as_deref();
        let mut command = Command::new(programs::operator());
        command
            .arg("run")
            .arg("--kubeconfig")
            .arg(kubeconfig.unwrap_or_else(|| cluster.kubeconfig()))
            .args(["--namespace", NAMESPACE])
            .args(["--admin", &format!("127.0.0.1:{admin}")])
            .args(["--webhook", &format!("127.0.0.1:{webhook}")])
            .args(["--webhook-url", &format!("https://127.0.0.1:{webhook}")])
            .args(["--lease-duration", "3s"])
            .args(["--repair-interval", "500ms"])
            .args(["--drain", "2s"])
            .args(&launch.arguments)
            .env("RUST_BACKTRACE", "1")
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        Self {
            process: Running::start("the operator", &mut command),
            admin,
            webhook,
            log: Log::new(path, Vec::new()),
            ended: false,
        }
    }

    /// Whether it says that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// Whether it leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.is_listening() && self.metric("bulkhead_operator_leader", &[]) == 1.0
    }

    /// Waits until it leads, and has installed what a leader installs.
    ///
    /// # Panics
    /// When it does not.
    pub async fn until_installed(&self) {
        wait::until_within(
            READY,
            "an operator that has installed admission",
            || async { !self.log.told("admission is installed").is_empty() },
        )
        .await;
    }

    /// The status and body of a GET on the admin port; none when nobody answers.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        admin::get(self.admin, path)
    }

    /// The metrics of this moment.
    ///
    /// # Panics
    /// When they are not served.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        admin::metrics(self.admin)
    }

    /// The sum of the samples called `name` that have all of `labels`.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(name, labels)
    }

    /// The port of its metrics and its health.
    #[must_use]
    pub fn admin(&self) -> u16 {
        self.admin
    }

    /// The port of its webhooks.
    #[must_use]
    pub fn webhook(&self) -> u16 {
        self.webhook
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal. With SIGKILL the test expects its end, and with SIGSTOP that it stands still.
    pub fn signal(&mut self, signal: Signal) {
        self.ended |= signal == Signal::KILL;
        self.process.signal(signal);
    }

    /// Waits for the end that the test has brought about.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let status = self.process.wait(patience);
        self.ended = true;
        status
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.process.exited().is_none()
    }

    fn is_listening(&self) -> bool {
        self.get("/healthz").is_some()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the operator's log\n{}---", self.log.text());
            return;
        }
        let ended = self.ended;
        assert!(
            ended || self.runs(),
            "the operator ended by itself:\n{}",
            self.log.text()
        );
        self.log.check();
    }
}
