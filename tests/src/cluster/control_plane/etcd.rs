//! etcd, one member, which answers only to the API server's certificate and forgets everything.

use std::net::TcpStream;
use std::path::Path;

use super::READY;
use super::launch::{Launched, launch, port_was_taken, tail};
use crate::cluster::credentials::{Credentials, Files};
use crate::processes::{Running, free_port};
use crate::wait;

/// An etcd that runs.
#[derive(Debug)]
pub(super) struct Etcd {
    pub(super) port: u16,
    /// The authority that signed its certificate.
    pub(super) authority: std::path::PathBuf,
    /// By which its one client is known.
    pub(super) client: Files,
    _process: Running,
}

impl Etcd {
    pub(super) fn start(folder: &Path) -> Self {
        // An authority of its own: whoever the cluster's authority knows has no business in here.
        let credentials = Credentials::new(folder.join("etcd-pki"));
        let server = credentials.server("server", &["127.0.0.1", "localhost"]);
        let client = credentials.client_files("client", "kube-apiserver", None);
        for _ in 0..5 {
            let (port, peer) = (free_port(), free_port());
            let arguments = arguments(folder, &credentials, &server, port, peer);
            let Launched { mut process, log } = launch("etcd", folder, &arguments);
            let up = wait::blocking(READY, || match process.exited() {
                Some(_) => Some(false),
                None => TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true),
            });
            if up == Some(true) {
                return Self {
                    port,
                    authority: credentials.authority_file(),
                    client,
                    _process: process,
                };
            }
            assert!(
                port_was_taken(&log),
                "etcd does not come up:\n{}",
                tail(&log)
            );
        }
        panic!("etcd finds no free port");
    }
}

fn arguments(
    folder: &Path,
    credentials: &Credentials,
    server: &Files,
    port: u16,
    peer: u16,
) -> Vec<String> {
    let url = format!("https://127.0.0.1:{port}");
    let peer_url = format!("https://127.0.0.1:{peer}");
    let (certificate, key) = (server.certificate.display(), server.key.display());
    let authority = credentials.authority_file();
    let authority = authority.display();
    vec![
        "--name=bulkhead".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer_url}"),
        format!("--initial-advertise-peer-urls={peer_url}"),
        format!("--initial-cluster=bulkhead={peer_url}"),
        format!("--cert-file={certificate}"),
        format!("--key-file={key}"),
        "--client-cert-auth".to_owned(),
        format!("--trusted-ca-file={authority}"),
        format!("--peer-cert-file={certificate}"),
        format!("--peer-key-file={key}"),
        "--peer-client-cert-auth".to_owned(),
        format!("--peer-trusted-ca-file={authority}"),
        // What a test writes need not outlive the machine.
        "--unsafe-no-fsync".to_owned(),
    ]
}
