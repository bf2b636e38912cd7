//! The volumes of an injected pod, and who mounts them.

use bulkhead_crds::kinds::template::{
    ClaimSource, ConfigMapSource, EmptyDir, KeyToPath, ProjectedSource, SecretSource, Volume,
    VolumeMount,
};
use bulkhead_crds::kinds::{AuditDestination, ListenTls};
use bulkhead_crds::names::objects;

use super::{Rendering, secrets};

/// Where the sidecar finds its snapshots.
pub(super) const POLICY_DIR: &str = "/etc/bulkhead/policy";
/// Where it finds Secrets, a folder each.
pub(super) const SECRETS_DIR: &str = "/etc/bulkhead/secrets";
/// Where it keeps what must outlive its container, and its control socket.
pub(super) const RUN_DIR: &str = "/run/bulkhead";
/// Where the application finds the authority that issued the sidecar's certificate.
pub(super) const AUTHORITY_DIR: &str = "/etc/bulkhead/ca";
/// Where a pod's token would be.
const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Readable by all: neither the sidecar nor the application runs as root.
const READABLE: u16 = 0o444;

/// The volumes of a pod.
pub(super) struct Volumes {
    /// The volumes.
    pub(super) pod: Vec<Volume>,
    /// What the sidecar mounts.
    pub(super) sidecar: Vec<VolumeMount>,
    /// What the application's containers mount.
    pub(super) application: Vec<VolumeMount>,
}

/// Whether a certificate of the policy's own authority is shown to the application.
pub(super) fn issues_a_certificate(rendering: &Rendering<'_>) -> bool {
    rendering
        .served()
        .any(|database| database.listen.tls == Some(ListenTls::Issued))
}

/// What the rendered policy needs.
pub(super) fn of(rendering: &Rendering<'_>) -> Volumes {
    let policy = &rendering.effective.name;
    let mut volumes = Volumes {
        pod: vec![
            Volume {
                name: "bulkhead-policy".to_owned(),
                config_map: Some(ConfigMapSource {
                    name: objects::snapshot(policy),
                    default_mode: READABLE,
                }),
                ..Volume::default()
            },
            Volume {
                name: "bulkhead-secrets".to_owned(),
                projected: Some(ProjectedSource {
                    default_mode: READABLE,
                    sources: secrets::of(rendering),
                }),
                ..Volume::default()
            },
            // In memory, because the accepted snapshot is the node's business no more than the socket is.
            empty("bulkhead-run", Some("Memory"), Some("8Mi")),
            // The API server adds a token to every container that mounts nothing there.
            empty("bulkhead-no-token", None, Some("1Mi")),
        ],
        sidecar: vec![
            mount("bulkhead-policy", POLICY_DIR, true),
            mount("bulkhead-secrets", SECRETS_DIR, true),
            mount("bulkhead-run", RUN_DIR, false),
            mount("bulkhead-no-token", TOKEN_DIR, true),
        ],
        application: Vec::new(),
    };
    add_audit(rendering, &mut volumes);
    add_sockets(rendering, &mut volumes);
    if issues_a_certificate(rendering) {
        add_authority(policy, &mut volumes);
    }
    volumes
}

/// The folder of the audit trail's files, which nobody else mounts. Without a limit of its own: the kubelet evicts a pod whose volume is
/// above one, and the trail keeps to its own (`file.segments`).
fn add_audit(rendering: &Rendering<'_>, volumes: &mut Volumes) {
    let trail = rendering.effective.audit_trail.as_ref();
    let Some(trail) = trail.filter(|trail| trail.destination == AuditDestination::File) else {
        return;
    };
    let name = objects::AUDIT_VOLUME;
    volumes
        .sidecar
        .push(mount(name, objects::AUDIT_FOLDER, false));
    volumes.pod.push(match &trail.claim_name {
        Some(claim) => Volume {
            name: name.to_owned(),
            persistent_volume_claim: Some(ClaimSource {
                claim_name: claim.clone(),
            }),
            ..Volume::default()
        },
        None => empty(name, None, None),
    });
}

/// A folder for each Unix socket, which application and sidecar share.
fn add_sockets(rendering: &Rendering<'_>, volumes: &mut Volumes) {
    let mut folders: Vec<&str> = rendering
        .served()
        .filter_map(|database| database.listen.socket.as_deref())
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    folders.retain(|folder| seen.insert(*folder));
    for (index, folder) in folders.into_iter().enumerate() {
        let name = format!("bulkhead-socket-{}", index + 1);
        volumes.sidecar.push(mount(&name, folder, false));
        volumes.application.push(mount(&name, folder, false));
        volumes.pod.push(empty(&name, None, Some("1Mi")));
    }
}

fn add_authority(policy: &str, volumes: &mut Volumes) {
    let name = "bulkhead-ca";
    volumes.application.push(mount(name, AUTHORITY_DIR, true));
    volumes.pod.push(Volume {
        name: name.to_owned(),
        secret: Some(SecretSource {
            secret_name: objects::ISSUED_CERTIFICATES.to_owned(),
            default_mode: READABLE,
            items: Some(vec![KeyToPath {
                key: objects::issued_key(policy, "ca.crt"),
                path: "ca.crt".to_owned(),
            }]),
        }),
        ..Volume::default()
    });
}

fn empty(name: &str, medium: Option<&str>, size_limit: Option<&str>) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDir {
            medium: medium.map(str::to_owned),
            size_limit: size_limit.map(str::to_owned),
        }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
    }
}
