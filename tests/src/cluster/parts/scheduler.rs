//! kube-scheduler: pods to the one node.

use std::path::Path;

use crate::cluster::access::Access;
use crate::cluster::credentials::Credentials;
use crate::cluster::launch::Part;

pub(in crate::cluster) fn part(folder: &Path, admin: &Access, credentials: &Credentials) -> Part {
    let kubeconfig = admin
        .of(credentials.client("system:kube-scheduler", None))
        .write(&folder.join("scheduler.kubeconfig"));
    let kubeconfig = kubeconfig.display();
    Part {
        program: "kube-scheduler",
        arguments: vec![
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--profiling=false".to_owned(),
        ],
    }
}
