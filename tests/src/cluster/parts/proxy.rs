//! kube-proxy: Services' addresses, by nftables of the node's own network namespace.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::json;

use super::kubelet::NODE;
use crate::cluster::access::Access;
use crate::cluster::credentials::{Credentials, write_private};
use crate::cluster::launch::Part;

/// kube-proxy at `address`, for pods whose addresses begin with `pods`.
pub(in crate::cluster) fn part(
    folder: &Path,
    admin: &Access,
    credentials: &Credentials,
    address: Ipv4Addr,
    pods: [u8; 3],
) -> Part {
    let kubeconfig = admin
        .of(credentials.client("system:kube-proxy", None))
        .write(&folder.join("proxy.kubeconfig"));
    let [a, b, c] = pods;
    let file = folder.join("proxy.yaml");
    write_private(
        &file,
        &json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": kubeconfig},
            "hostnameOverride": NODE,
            "bindAddress": address,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "clusterCIDR": format!("{a}.{b}.{c}.0/24"),
            // The limits of connection tracking are the machine's, and stay as they are.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "nftables": {"minSyncPeriod": "100ms"},
        })
        .to_string(),
    );
    Part {
        program: "kube-proxy",
        arguments: vec![format!("--config={}", file.display())],
    }
}
