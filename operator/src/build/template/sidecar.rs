//! The sidecar as a container.

use bulkhead_crds::effective::{EffectiveDatabase, EffectivePolicy};
use bulkhead_crds::kinds::template::{
    AcceptedSidecar, Capabilities, ContainerPort, Exec, FieldRef, Hook, HttpGet, Lifecycle, Probe,
    Quantities, Resources, SeccompProfile, SecurityContext, Sidecar, SidecarVar, VarSource,
    VolumeMount,
};
use bulkhead_crds::names::objects;

use super::volumes::{POLICY_DIR, RUN_DIR, SECRETS_DIR};
use super::{Rendering, SidecarImage};

/// What a sidecar needs before anybody has come, in MiB.
const BASE_MIB: u64 = 32;
/// The ledger that all users' buffers are taken from, in MiB.
const LEDGER_MIB: u64 = 16;
/// What a user who does nothing costs, in KiB.
const IDLE_USER_KIB: u64 = 4;
/// What is always asked for, in MiB; a quarter of the rest is added, for not every user comes.
const REQUEST_MIB: u64 = 24;

impl<'a> Rendering<'a> {
    /// The databases that the sidecar opens a listener for.
    pub(super) fn served(&self) -> impl Iterator<Item = &'a EffectiveDatabase> + use<'a> {
        self.serves.databases(self.effective)
    }

    /// Whether there are sessions that a client may come back to, by way of any pod.
    pub(super) fn resumes(&self) -> bool {
        self.serves.web_sockets && self.effective.resumes()
    }
}

/// The container.
pub(super) fn of(
    rendering: &Rendering<'_>,
    ports: Vec<ContainerPort>,
    volume_mounts: Vec<VolumeMount>,
) -> Sidecar {
    let control = format!("{RUN_DIR}/control.sock");
    let (accepted, admin) = (
        format!("{RUN_DIR}/accepted"),
        format!(":{}", objects::ADMIN_PORT),
    );
    let peers = objects::PEER_PORT.to_string();
    let mut args = vec![
        "run",
        "--snapshot",
        POLICY_DIR,
        "--accepted",
        &accepted,
        "--secrets",
        SECRETS_DIR,
        "--admin",
        &admin,
        "--control",
        &control,
    ];
    let mut env = vec![SidecarVar {
        name: "BULKHEAD_CONTROL".to_owned(),
        value: Some(control.clone()),
        value_from: None,
    }];
    if rendering.resumes() {
        args.extend(["--peer-port", &peers]);
        env.push(pod_address());
    }
    Sidecar {
        name: objects::CONTAINER.to_owned(),
        image: rendering.sidecar.image.clone(),
        image_pull_policy: rendering.sidecar.pull_policy.clone(),
        restart_policy: "Always".to_owned(),
        args: args.into_iter().map(str::to_owned).collect(),
        env,
        ports,
        volume_mounts,
        security_context: security_context(rendering.sidecar),
        resources: resources(rendering.effective),
        startup_probe: probe(1, 60),
        readiness_probe: probe(2, 2),
        lifecycle: Lifecycle {
            pre_stop: Hook {
                exec: Exec {
                    command: vec!["/bulkhead-sidecar".to_owned(), "drain".to_owned()],
                },
            },
        },
    }
}

/// Where other pods reach this one, which only its node knows, and only once it runs.
fn pod_address() -> SidecarVar {
    SidecarVar {
        name: objects::POD_ADDRESS.to_owned(),
        value: None,
        value_from: Some(VarSource {
            field_ref: FieldRef {
                api_version: "v1".to_owned(),
                field_path: "status.podIP".to_owned(),
            },
        }),
    }
}

/// What the guard compares of it.
pub(super) fn accepted(sidecar: &Sidecar) -> AcceptedSidecar {
    AcceptedSidecar {
        image: sidecar.image.clone(),
        args: sidecar.args.clone(),
        env: sidecar.env.clone(),
        volume_mounts: sidecar.volume_mounts.clone(),
        security_context: sidecar.security_context.clone(),
    }
}

/// Pod Security `restricted`, whatever the pod's own context says.
fn security_context(sidecar: &SidecarImage) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: false,
        capabilities: Capabilities {
            drop: vec!["ALL".to_owned()],
        },
        read_only_root_filesystem: true,
        run_as_non_root: true,
        run_as_user: sidecar.run_as_user,
        run_as_group: sidecar.run_as_group,
        seccomp_profile: SeccompProfile {
            r#type: "RuntimeDefault".to_owned(),
        },
    }
}

/// Requests with which the autoscaler can reckon, and a limit for memory. None for CPU: the sidecar starts a worker for each core that it
/// may have, and a throttled one would delay every user.
#[must_use]
pub fn resources(policy: &EffectivePolicy) -> Resources {
    let users = (u64::from(policy.limits.max_users) * IDLE_USER_KIB).div_ceil(1024);
    let limit = BASE_MIB + LEDGER_MIB + users + resumes_mib(policy);
    let request = REQUEST_MIB + (limit - REQUEST_MIB) / 4;
    Resources {
        requests: Quantities {
            cpu: Some("10m".to_owned()),
            memory: Some(format!("{request}Mi")),
        },
        limits: Quantities {
            cpu: None,
            memory: Some(format!("{limit}Mi")),
        },
    }
}

/// What is kept for sockets that may lose their clients, in MiB: one ledger for all, of which each listener says how full it may be.
fn resumes_mib(policy: &EffectivePolicy) -> u64 {
    let offering = policy
        .web_sockets
        .iter()
        .filter(|socket| socket.offers_resume());
    let most = offering.map(|socket| socket.resume_total).max();
    most.unwrap_or_default().div_ceil(1 << 20)
}

/// Of the sidecar itself, never of an upstream: one database that is away must not take every pod out of its Service.
fn probe(period_seconds: u16, failure_threshold: u16) -> Probe {
    Probe {
        http_get: HttpGet {
            path: "/readyz".to_owned(),
            port: objects::ADMIN_PORT,
        },
        period_seconds,
        failure_threshold,
    }
}
