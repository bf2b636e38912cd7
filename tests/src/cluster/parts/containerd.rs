//! containerd, and the network of its pods: a point-to-point link each, so that all of their traffic is routed, as Services need it.

use std::path::Path;

use serde_json::json;

use crate::cluster::credentials::write_private;
use crate::cluster::launch::Part;

/// Where it is reached, inside of the node.
pub(in crate::cluster) const SOCKET: &str = "/run/containerd/containerd.sock";

/// The image that holds a pod's namespaces open.
pub(in crate::cluster) const PAUSE: &str = "bulkhead.test/pause:1";

/// containerd, whose pods' addresses begin with `pods`.
pub(in crate::cluster) fn part(folder: &Path, pods: [u8; 3]) -> Part {
    let network = folder.join("cni");
    std::fs::create_dir_all(&network).unwrap();
    let [a, b, c] = pods;
    write_private(
        &network.join("10-bulkhead.conflist"),
        &json!({
            "cniVersion": "1.0.0",
            "name": "bulkhead",
            "plugins": [{
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": format!("{a}.{b}.{c}.0/24")}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        })
        .to_string(),
    );
    let file = folder.join("containerd.toml");
    write_private(&file, &configuration(folder, &network));
    Part {
        program: "containerd",
        arguments: vec![format!("--config={}", file.display())],
    }
}

fn configuration(folder: &Path, network: &Path) -> String {
    let root = folder.join("containerd");
    let (root, network) = (root.display(), network.display());
    // The score of a process may be raised only, where the machine itself is a container; and AppArmor is not everywhere.
    format!(
        "version = 3
root = '{root}'
state = '/run/containerd'
disabled_plugins = ['io.containerd.snapshotter.v1.erofs']
[grpc]
  address = '{SOCKET}'
[ttrpc]
  address = '{SOCKET}.ttrpc'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{PAUSE}'
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/usr/lib/cni', '/opt/cni/bin']
  conf_dir = '{network}'
"
    )
}
