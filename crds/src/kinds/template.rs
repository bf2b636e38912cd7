//! The kind `InjectionTemplate`: what a policy does to a pod, as data.
//!
//! The API server applies it in CEL, the webhook and `inject` in Rust. Its schema holds no field that a pod does not know, and prunes every
//! other, so that no template can make a pod that the API server cannot read.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OptOut, Selector};

/// What a policy does to the pods that it selects. Written by the operator alone.
#[allow(clippy::duplicated_attributes)]
#[serde_with::skip_serializing_none]
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bulkhead.dev",
    version = "v1alpha1",
    kind = "InjectionTemplate",
    doc = "What a policy does to the pods that it selects, as data for admission. Written by the operator alone.",
    namespaced,
    derive = "PartialEq",
    category = "bulkhead",
    printcolumn(name = "Enforce", type_ = "boolean", json_path = ".spec.enforce"),
    printcolumn(name = "Hash", type_ = "string", json_path = ".spec.hash"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = super::finish::tidy)]
pub struct InjectionTemplateSpec {
    /// The policy that it was rendered from, and whose name it bears.
    #[schemars(length(min = 1, max = 253))]
    pub policy: String,
    /// A hash of everything that is injected, which the pod's annotation repeats: another one waits for a rollout.
    #[schemars(length(min = 1, max = 64))]
    pub hash: String,
    /// Whether a selected pod without the sidecar is refused.
    pub enforce: bool,
    /// Whether a pod's annotation may keep the sidecar out.
    pub opt_out: OptOut,
    /// The pods that it is for.
    pub selector: Selector,
    /// The pods that older policies have, and which it is not for.
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub excluding: Option<Vec<Selector>>,
    /// The sidecar, as it stands in `initContainers`. Whoever injects adds `--grace` and `--resolve` to its arguments.
    pub sidecar: Sidecar,
    /// The sidecars that the guard lets pass: this one, and the last few before it.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub accepted: Vec<AcceptedSidecar>,
    /// Volumes added to the pod.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub volumes: Vec<Volume>,
    /// Host aliases added to the pod.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub host_aliases: Option<Vec<HostAlias>>,
    /// Environment variables added to the application's containers, where they have none of that name.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub env: Option<Vec<EnvVar>>,
    /// Mounts added to the application's containers.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub mounts: Option<Vec<VolumeMount>>,
    /// Named ports that the sidecar takes over from the application's containers.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub take_ports: Option<Vec<TakenPort>>,
    /// The value of the pod's label `bulkhead.dev/taken-over`, by which a NetworkPolicy closes the ports behind those names. Default: no label.
    #[schemars(length(min = 1, max = 63))]
    pub taken_over: Option<String>,
}

/// A named port that the sidecar takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TakenPort {
    /// The name, which is the sidecar's from now on.
    #[schemars(length(min = 1, max = 15))]
    pub name: String,
    /// What the application's port is called instead.
    #[schemars(length(min = 1, max = 15))]
    pub renamed: String,
}

/// The sidecar as a container of a pod: the fields that are ever rendered.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// Its name, `bulkhead`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its image.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// When that is pulled. Default: as the API server chooses.
    #[schemars(length(max = 16))]
    pub image_pull_policy: Option<String>,
    /// `Always`: it is a native sidecar.
    #[schemars(length(max = 16))]
    pub restart_policy: String,
    /// Its arguments, but those that hang on the pod.
    #[schemars(length(max = 64), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub args: Vec<String>,
    /// Its environment.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub env: Vec<SidecarVar>,
    /// Its ports.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Vec<ContainerPort>,
    /// Its mounts.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub volume_mounts: Vec<VolumeMount>,
    /// What it may do.
    pub security_context: SecurityContext,
    /// What it asks for and may have.
    pub resources: Resources,
    /// When the application may start.
    pub startup_probe: Probe,
    /// When the pod may have traffic.
    pub readiness_probe: Probe,
    /// What happens when the pod is about to end.
    pub lifecycle: Lifecycle,
}

/// What the guard compares of a sidecar. CEL has no hash, so it is the thing itself.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedSidecar {
    /// Its image.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Its arguments, but those that hang on the pod.
    #[schemars(length(max = 64), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub args: Vec<String>,
    /// Its environment.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub env: Vec<SidecarVar>,
    /// Its mounts.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub volume_mounts: Vec<VolumeMount>,
    /// What it may do.
    pub security_context: SecurityContext,
}

/// An environment variable of the sidecar: a plain value, or a field of its pod.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SidecarVar {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Its value.
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Where its value comes from.
    pub value_from: Option<VarSource>,
}

/// Where a variable's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VarSource {
    /// A field of the pod.
    pub field_ref: FieldRef,
}

/// A field of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldRef {
    /// `v1`, written out as the API server writes it, because the guard compares.
    #[schemars(length(max = 16))]
    pub api_version: String,
    /// Its path, such as `status.podIP`.
    #[schemars(length(min = 1, max = 256))]
    pub field_path: String,
}

/// An environment variable with a plain value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Its value.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// A port of the sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Its name.
    #[schemars(length(min = 1, max = 15))]
    pub name: String,
    /// Its number.
    pub container_port: u16,
    /// `TCP`.
    #[schemars(length(max = 8))]
    pub protocol: String,
}

/// Where a volume is mounted.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The folder.
    #[schemars(length(min = 1, max = 256))]
    pub mount_path: String,
    /// Whether it may not be written. Default: it may.
    pub read_only: Option<bool>,
}

/// What the sidecar may do: Pod Security `restricted`.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityContext {
    /// Never true.
    pub allow_privilege_escalation: bool,
    /// None.
    pub capabilities: Capabilities,
    /// Always true.
    pub read_only_root_filesystem: bool,
    /// Always true.
    pub run_as_non_root: bool,
    /// Its user. Default: the platform's choice.
    pub run_as_user: Option<i64>,
    /// Its group. Default: the platform's choice.
    pub run_as_group: Option<i64>,
    /// Which system calls it may make.
    pub seccomp_profile: SeccompProfile,
}

/// Capabilities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Capabilities {
    /// Those that are dropped: `ALL`.
    #[schemars(length(max = 4), inner(length(max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub drop: Vec<String>,
}

/// A seccomp profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SeccompProfile {
    /// `RuntimeDefault`.
    #[schemars(length(max = 32))]
    pub r#type: String,
}

/// What the sidecar asks for and may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Resources {
    /// What it asks for.
    pub requests: Quantities,
    /// What it may have.
    pub limits: Quantities,
}

/// Amounts of CPU and memory, as Kubernetes writes them.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Quantities {
    /// CPU.
    #[schemars(length(max = 32))]
    pub cpu: Option<String>,
    /// Memory.
    #[schemars(length(max = 32))]
    pub memory: Option<String>,
}

/// A probe by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// What is asked.
    pub http_get: HttpGet,
    /// Seconds between tries.
    pub period_seconds: u16,
    /// Failed tries after which it counts as failed.
    pub failure_threshold: u16,
}

/// A request of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct HttpGet {
    /// The path.
    #[schemars(length(max = 256))]
    pub path: String,
    /// The port.
    pub port: u16,
}

/// What happens when the pod is about to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// Before the signal.
    pub pre_stop: Hook,
}

/// A command of a life-cycle hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Hook {
    /// The command.
    pub exec: Exec,
}

/// A command, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Exec {
    /// The program and its arguments.
    #[schemars(length(max = 8), inner(length(max = 256)), extend("x-kubernetes-list-type" = "atomic"))]
    pub command: Vec<String>,
}

/// A host alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct HostAlias {
    /// The address.
    #[schemars(length(max = 45))]
    pub ip: String,
    /// The names.
    #[schemars(length(max = 64), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub hostnames: Vec<String>,
}

/// A volume: exactly one of its sources.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// A ConfigMap, whole.
    pub config_map: Option<ConfigMapSource>,
    /// Parts of Secrets, side by side.
    pub projected: Option<ProjectedSource>,
    /// A Secret.
    pub secret: Option<SecretSource>,
    /// Nothing at first.
    pub empty_dir: Option<EmptyDir>,
    /// A PersistentVolumeClaim of the pod's namespace.
    pub persistent_volume_claim: Option<ClaimSource>,
}

/// A PersistentVolumeClaim as a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSource {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
}

/// A ConfigMap as a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSource {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The files' mode.
    pub default_mode: u16,
}

/// Secrets as one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectedSource {
    /// The files' mode.
    pub default_mode: u16,
    /// The Secrets.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub sources: Vec<Projection>,
}

/// One Secret of a projected volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Projection {
    /// The Secret.
    pub secret: SecretProjection,
}

/// Keys of a Secret, each at its path.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SecretProjection {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its keys.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<KeyToPath>,
    /// Whether a pod starts without it. Default: it does not.
    pub optional: Option<bool>,
}

/// A key of a Secret, and its path in a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct KeyToPath {
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// The path.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
}

/// A Secret as a volume.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The files' mode.
    pub default_mode: u16,
    /// Its keys. Default: all of them.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Option<Vec<KeyToPath>>,
}

/// A volume with nothing in it at first.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmptyDir {
    /// `Memory`, or nothing for the node's disk.
    #[schemars(length(max = 16))]
    pub medium: Option<String>,
    /// How large it may become.
    #[schemars(length(max = 32))]
    pub size_limit: Option<String>,
}
