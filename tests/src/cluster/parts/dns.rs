//! CoreDNS: the names of Services and pods.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::cluster::access::Access;
use crate::cluster::credentials::{Credentials, write_private};
use crate::cluster::launch::Part;

/// The port that says whether it answers.
pub(in crate::cluster) const READY_PORT: u16 = 8181;

/// CoreDNS at `address`.
pub(in crate::cluster) fn part(
    folder: &Path,
    admin: &Access,
    credentials: &Credentials,
    address: Ipv4Addr,
) -> Part {
    let kubeconfig = admin
        .of(credentials.client("system:coredns", None))
        .write(&folder.join("coredns.kubeconfig"));
    let file = folder.join("Corefile");
    // A name that was asked for before its Service was there must not stay unknown for long; and what the cluster does not know,
    // nobody knows.
    write_private(
        &file,
        &format!(
            "cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {address}
    errors
    ready {address}:{READY_PORT}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {}
        ttl 1
    }}
}}
.:53 {{
    bind {address}
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
",
            kubeconfig.display()
        ),
    );
    Part {
        program: "coredns",
        arguments: vec![format!("-conf={}", file.display())],
    }
}
