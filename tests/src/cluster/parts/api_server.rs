//! kube-apiserver: certificates for whoever asks, RBAC, an audit log, and the admission of a real cluster.

use std::net::Ipv4Addr;
use std::path::Path;

use super::etcd;
use crate::cluster::audit;
use crate::cluster::credentials::{Credentials, write_private};
use crate::cluster::launch::Part;

/// Where the API server stands.
#[derive(Debug)]
pub(in crate::cluster) struct Place<'a> {
    pub(in crate::cluster) folder: &'a Path,
    pub(in crate::cluster) credentials: &'a Credentials,
    pub(in crate::cluster) etcd: &'a etcd::Keys,
    /// Where it listens, and nowhere else.
    pub(in crate::cluster) address: Ipv4Addr,
    pub(in crate::cluster) port: u16,
    /// The first three numbers of every Service's address.
    pub(in crate::cluster) services: [u8; 3],
}

pub(in crate::cluster) fn part(place: &Place<'_>) -> Part {
    let Place {
        folder,
        credentials,
        etcd,
        address,
        port,
        services: [a, b, c],
    } = place;
    write_private(&folder.join("audit.yaml"), audit::POLICY);
    let server = credentials.server(
        "kube-apiserver",
        &[
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            &address.to_string(),
            // The Service `kubernetes` has the first address.
            &format!("{a}.{b}.{c}.1"),
        ],
    );
    let file = |name: &str, path: &Path| format!("--{name}={}", path.display());
    Part {
        program: "kube-apiserver",
        arguments: vec![
            format!("--etcd-servers=https://127.0.0.1:{}", etcd.port),
            file("etcd-cafile", &etcd.authority),
            file("etcd-certfile", &etcd.client.certificate),
            file("etcd-keyfile", &etcd.client.key),
            format!("--bind-address={address}"),
            format!("--advertise-address={address}"),
            format!("--secure-port={port}"),
            file("tls-cert-file", &server.certificate),
            file("tls-private-key-file", &server.key),
            file("client-ca-file", &credentials.authority_file()),
            "--anonymous-auth=false".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            file("service-account-key-file", &credentials.token_public_key()),
            file("service-account-signing-key-file", &credentials.token_key()),
            format!("--service-cluster-ip-range={a}.{b}.{c}.0/24"),
            "--allow-privileged".to_owned(),
            "--profiling=false".to_owned(),
            file("audit-policy-file", &folder.join("audit.yaml")),
            file("audit-log-path", &audit::log(folder)),
        ],
    }
}
