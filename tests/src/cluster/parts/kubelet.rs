//! The kubelet: known to the API server as its node and no more, and open to the API server alone.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::json;

use super::containerd;
use crate::cluster::access::Access;
use crate::cluster::credentials::{Credentials, write_private};
use crate::cluster::launch::Part;

/// The node's name.
pub(in crate::cluster) const NODE: &str = "bulkhead";

/// As whom the API server comes to the kubelet, for logs and exec.
pub(in crate::cluster) const ITS_CLIENT: &str = "kube-apiserver-kubelet-client";

/// The kubelet at `address`, whose pods ask `dns` for names and live in the cgroup `cgroup`.
pub(in crate::cluster) fn part(
    folder: &Path,
    admin: &Access,
    credentials: &Credentials,
    address: Ipv4Addr,
    dns: Ipv4Addr,
    cgroup: &str,
) -> Part {
    let kubeconfig = admin
        .of(credentials.client(&format!("system:node:{NODE}"), Some("system:nodes")))
        .write(&folder.join("kubelet.kubeconfig"));
    let server = credentials.server("kubelet", &[NODE, &address.to_string()]);
    let resolver = folder.join("resolv.conf");
    // What the cluster does not know, nobody knows: the machine's own names are not the pods' business.
    write_private(&resolver, "");
    let file = folder.join("kubelet.yaml");
    write_private(
        &file,
        &json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": address,
            "readOnlyPort": 0,
            "healthzPort": 0,
            "tlsCertFile": server.certificate,
            "tlsPrivateKeyFile": server.key,
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": credentials.authority_file()},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": format!("unix://{}", containerd::SOCKET),
            "clusterDNS": [dns],
            "clusterDomain": "cluster.local",
            "resolvConf": resolver,
            "podLogsDir": folder.join("pods"),
            // The machine may have either version of cgroups, systemd or none, swap, and a disk that is nearly full.
            "failCgroupV1": false,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroup,
            "enforceNodeAllocatable": [],
            "failSwapOn": false,
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {
                "memory.available": "0%",
                "nodefs.available": "0%",
                "imagefs.available": "0%",
                "nodefs.inodesFree": "0%",
            },
        })
        .to_string(),
    );
    Part {
        program: "kubelet",
        arguments: vec![
            format!("--config={}", file.display()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={address}"),
            format!("--root-dir={}", folder.join("kubelet").display()),
            format!("--cert-dir={}", folder.join("kubelet-pki").display()),
        ],
    }
}
