//! etcd, one member, which answers only to the API server's certificate and forgets everything.

use std::path::{Path, PathBuf};

use crate::cluster::credentials::{Credentials, Files};
use crate::cluster::launch::Part;

/// How etcd is reached, and by whom.
#[derive(Debug)]
pub(in crate::cluster) struct Keys {
    /// The port on loopback.
    pub(in crate::cluster) port: u16,
    /// The authority that signed its certificate.
    pub(in crate::cluster) authority: PathBuf,
    /// By which its one client is known.
    pub(in crate::cluster) client: Files,
    server: Files,
}

impl Keys {
    pub(in crate::cluster) fn new(folder: &Path, port: u16) -> Self {
        // An authority of its own: whoever the cluster's authority knows has no business in here.
        let credentials = Credentials::new(folder.join("etcd-pki"));
        Self {
            port,
            authority: credentials.authority_file(),
            client: credentials.client_files("client", "kube-apiserver", None),
            server: credentials.server("server", &["127.0.0.1", "localhost"]),
        }
    }
}

/// etcd, whose members would speak to each other on the port `peer`.
pub(in crate::cluster) fn part(folder: &Path, keys: &Keys, peer: u16) -> Part {
    let url = format!("https://127.0.0.1:{}", keys.port);
    let peer_url = format!("https://127.0.0.1:{peer}");
    let certificate = keys.server.certificate.display();
    let key = keys.server.key.display();
    let authority = keys.authority.display();
    Part {
        program: "etcd",
        arguments: vec![
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
        ],
    }
}
