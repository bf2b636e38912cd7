//! kube-controller-manager: default service accounts, aggregated roles, garbage, namespaces that are deleted, rollouts.

use std::path::Path;

use super::launch::{Launched, launch};
use crate::cluster::credentials::Credentials;
use crate::cluster::kubeconfig::{Access, Proof};
use crate::processes::Running;

pub(super) fn start(folder: &Path, admin: &Access, credentials: &Credentials) -> Running {
    let access = Access {
        proof: Proof::Certificate(credentials.client("system:kube-controller-manager", None)),
        ..admin.clone()
    };
    let kubeconfig = access.write(&folder.join("controller-manager.kubeconfig"));
    let kubeconfig = kubeconfig.display();
    let arguments = vec![
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
    ];
    let Launched { process, .. } = launch("kube-controller-manager", folder, &arguments);
    process
}
