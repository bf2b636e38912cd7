//! kube-controller-manager: default service accounts, aggregated roles, garbage, namespaces that are deleted, rollouts.

use std::path::Path;

use crate::cluster::access::Access;
use crate::cluster::credentials::Credentials;
use crate::cluster::launch::Part;

pub(in crate::cluster) fn part(folder: &Path, admin: &Access, credentials: &Credentials) -> Part {
    let kubeconfig = admin
        .of(credentials.client("system:kube-controller-manager", None))
        .write(&folder.join("controller-manager.kubeconfig"));
    let kubeconfig = kubeconfig.display();
    Part {
        program: "kube-controller-manager",
        arguments: vec![
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            format!(
                "--service-account-private-key-file={}",
                credentials.token_key().display()
            ),
            format!("--root-ca-file={}", credentials.authority_file().display()),
            "--use-service-account-credentials".to_owned(),
            "--leader-elect=false".to_owned(),
            // Nobody asks it anything.
            "--secure-port=0".to_owned(),
            "--profiling=false".to_owned(),
        ],
    }
}
