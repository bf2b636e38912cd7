//! kube-apiserver: certificates for whoever asks, RBAC, an audit log, and the admission of a real cluster.

use std::path::{Path, PathBuf};

use super::etcd::Etcd;
use super::launch::{Launched, launch, port_was_taken, tail};
use super::{Options, READY};
use crate::cluster::audit;
use crate::cluster::credentials::{Credentials, write_private};
use crate::cluster::kubeconfig::{Access, Proof};
use crate::processes::{Running, free_port};
use crate::wait;

/// Where the API server is, and how it is started.
#[derive(Debug)]
pub(super) struct ApiServer {
    port: u16,
    arguments: Vec<String>,
    /// Asks whether it is ready.
    probe: kube::Config,
}

/// What every Service's address is taken from.
const SERVICES: &str = "10.96.0.0/16";

/// The file that the audit log goes to.
pub(super) fn audit_log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

impl ApiServer {
    pub(super) async fn start(
        folder: &Path,
        credentials: &Credentials,
        etcd: &Etcd,
        options: &Options,
    ) -> (Self, Running) {
        write_private(&folder.join("audit.yaml"), audit::POLICY);
        let shared = shared_arguments(folder, credentials, etcd, options);
        for _ in 0..5 {
            let port = free_port();
            let mut arguments = shared.clone();
            arguments.push(format!("--secure-port={port}"));
            let probe = Access {
                server: address(port),
                authority: credentials.authority(),
                proof: Proof::Certificate(credentials.client("probe", Some("system:monitoring"))),
                act_as: None,
            };
            let this = Self {
                port,
                arguments,
                probe: probe.config().await,
            };
            match this.come_up(folder).await {
                Ok(running) => return (this, running),
                Err(log) if port_was_taken(&log) => {}
                Err(log) => panic!("kube-apiserver does not come up:\n{}", tail(&log)),
            }
        }
        panic!("kube-apiserver finds no free port");
    }

    pub(super) async fn start_again(&self, folder: &Path) -> Running {
        match self.come_up(folder).await {
            Ok(running) => running,
            Err(log) => panic!("kube-apiserver does not come up again:\n{}", tail(&log)),
        }
    }

    /// `https://…`
    pub(super) fn address(&self) -> String {
        address(self.port)
    }

    /// The process once it is ready, or the log of one that ended or did not get ready.
    async fn come_up(&self, folder: &Path) -> Result<Running, PathBuf> {
        let Launched { mut process, log } = launch("kube-apiserver", folder, &self.arguments);
        let client = kube::Client::try_from(self.probe.clone()).unwrap();
        let mut ended = false;
        let up = tokio::time::timeout(
            READY,
            wait::until_within(READY, "kube-apiserver", || {
                ended = process.exited().is_some();
                let (ended, client) = (ended, client.clone());
                async move { ended || ready(&client).await }
            }),
        )
        .await;
        if ended || up.is_err() {
            return Err(log);
        }
        Ok(process)
    }
}

async fn ready(client: &kube::Client) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
    client.request_text(request).await.is_ok()
}

fn address(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn shared_arguments(
    folder: &Path,
    credentials: &Credentials,
    etcd: &Etcd,
    options: &Options,
) -> Vec<String> {
    let server = credentials.server(
        "kube-apiserver",
        &[
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "127.0.0.1",
            "10.96.0.1",
        ],
    );
    let mut arguments = vec![
        format!("--etcd-servers=https://127.0.0.1:{}", etcd.port),
        format!("--etcd-cafile={}", etcd.authority.display()),
        format!("--etcd-certfile={}", etcd.client.certificate.display()),
        format!("--etcd-keyfile={}", etcd.client.key.display()),
        "--bind-address=127.0.0.1".to_owned(),
        // Endpoints refuse a loopback address, and nobody here reaches the API server by its Service.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--tls-cert-file={}", server.certificate.display()),
        format!("--tls-private-key-file={}", server.key.display()),
        format!(
            "--client-ca-file={}",
            credentials.authority_file().display()
        ),
        "--anonymous-auth=false".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!(
            "--service-account-key-file={}",
            credentials.token_public_key().display()
        ),
        format!(
            "--service-account-signing-key-file={}",
            credentials.token_key().display()
        ),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--allow-privileged".to_owned(),
        "--profiling=false".to_owned(),
        format!(
            "--audit-policy-file={}",
            folder.join("audit.yaml").display()
        ),
        format!("--audit-log-path={}", audit_log(folder).display()),
    ];
    if let Some(version) = options.emulated {
        arguments.push(format!("--emulated-version={version}"));
    }
    arguments.extend(options.api_server.iter().cloned());
    arguments
}
