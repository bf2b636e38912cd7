//! etcd, kube-apiserver and, where asked for, kube-controller-manager: all that a test needs that runs no pods.

use std::net::{Ipv4Addr, TcpStream};
use std::ops::Deref;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::access::{Access, Proof};
use super::credentials::Credentials;
use super::launch::{Launcher, Part};
use super::parts::{api_server, controller_manager, etcd};
use super::{Cluster, READY};
use crate::processes::{Running, folder, free_port};
use crate::wait;

/// The first three numbers of every Service's address; nothing routes them here.
const SERVICES: [u8; 3] = [10, 96, 0];

/// What a control plane is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version whose behaviour the API server shows, such as `1.35`, which has no MutatingAdmissionPolicy; none for its own.
    pub emulated: Option<&'static str>,
    /// Whether kube-controller-manager runs: it fills the roles `view`, `edit` and `admin`, makes default service accounts,
    /// collects garbage and empties namespaces that are deleted.
    pub controller_manager: bool,
    /// More arguments of kube-apiserver.
    pub api_server: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            emulated: None,
            controller_manager: true,
            api_server: Vec::new(),
        }
    }
}

/// A control plane that runs.
#[derive(Debug)]
pub struct ControlPlane {
    cluster: Cluster,
    launcher: Launcher,
    part: Part,
    // In the order in which they end.
    _controller_manager: Option<Running>,
    api_server: Mutex<Option<Running>>,
    _etcd: Running,
}

impl Deref for ControlPlane {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl ControlPlane {
    /// Starts a control plane for one test, which may stop its API server.
    ///
    /// # Panics
    /// When a program is missing, or does not come up.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts a control plane as `options` say.
    ///
    /// # Panics
    /// When a program is missing, or does not come up.
    pub async fn start_with(options: Options) -> Self {
        let folder = folder("control-plane");
        let launcher = Launcher::here(&folder);
        let credentials = Credentials::new(folder.join("pki"));
        let (etcd, keys) = start_etcd(&launcher, &folder);
        let (cluster, part, api_server) =
            start_api_server(&launcher, &credentials, &keys, &options).await;
        let mut controller_manager = None;
        if options.controller_manager {
            let part = controller_manager::part(&folder, cluster.access(), &credentials);
            controller_manager = Some(launcher.start(&part).process);
            cluster.until_roles_are_filled().await;
        }
        Self {
            cluster,
            launcher,
            part,
            _controller_manager: controller_manager,
            api_server: Mutex::new(Some(api_server)),
            _etcd: etcd,
        }
    }

    /// The control plane that all tests of this process share. Who stops its API server, or changes what is not in a namespace of
    /// their own, starts one for themselves.
    ///
    /// # Panics
    /// When a program is missing, or does not come up.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Ends the API server at once, as a crash would.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop_api_server(&self) {
        self.api_server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Starts the API server again, at the address that it had, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_api_server(&self) {
        let mut launched = self.launcher.start(&self.part);
        launched
            .until_ready(&self.cluster.access().config().await)
            .await
            .unwrap_or_else(|log| panic!("kube-apiserver does not come up again:\n{log}"));
        *self
            .api_server
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(launched.process);
    }

    /// Ends the API server as a crash would, and starts it again.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn restart_api_server(&self) {
        self.stop_api_server();
        self.start_api_server().await;
    }
}

/// Another process may take a port between the look and the start; so often it is tried again.
const ATTEMPTS: usize = 5;

fn start_etcd(launcher: &Launcher, folder: &Path) -> (Running, etcd::Keys) {
    for _ in 0..ATTEMPTS {
        let keys = etcd::Keys::new(folder, free_port());
        let mut launched = launcher.start(&etcd::part(folder, &keys, free_port()));
        let up = wait::blocking(READY, || match launched.process.exited() {
            Some(_) => Some(false),
            None => TcpStream::connect(("127.0.0.1", keys.port))
                .ok()
                .map(|_| true),
        });
        if up == Some(true) {
            return (launched.process, keys);
        }
        let log = launched.tail();
        assert!(port_was_taken(&log), "etcd does not come up:\n{log}");
    }
    panic!("etcd finds no free port");
}

async fn start_api_server(
    launcher: &Launcher,
    credentials: &Credentials,
    etcd: &etcd::Keys,
    options: &Options,
) -> (Cluster, Part, Running) {
    for _ in 0..ATTEMPTS {
        let port = free_port();
        let mut part = api_server::part(&api_server::Place {
            folder: launcher.folder(),
            credentials,
            etcd,
            address: Ipv4Addr::LOCALHOST,
            port,
            services: SERVICES,
        });
        part.arguments.extend([
            // Endpoints refuse a loopback address, and nobody here reaches the API server by its Service.
            "--endpoint-reconciler-type=none".to_owned(),
        ]);
        if let Some(version) = options.emulated {
            part.arguments.push(format!("--emulated-version={version}"));
        }
        part.arguments.extend(options.api_server.iter().cloned());
        let access = Access {
            server: format!("https://127.0.0.1:{port}"),
            authority: credentials.authority(),
            proof: Proof::Certificate(credentials.client("admin", Some("system:masters"))),
            act_as: None,
        };
        let mut launched = launcher.start(&part);
        match launched.until_ready(&access.config().await).await {
            Ok(()) => {
                let cluster = Cluster::new(launcher.folder().to_path_buf(), access).await;
                return (cluster, part, launched.process);
            }
            Err(log) => assert!(
                port_was_taken(&log),
                "kube-apiserver does not come up:\n{log}"
            ),
        }
    }
    panic!("kube-apiserver finds no free port");
}

/// Whether a program ended because another had its port.
fn port_was_taken(log: &str) -> bool {
    log.contains("address already in use")
}
