//! A policy rendered as an [`InjectionTemplate`]: everything that happens to a pod, but what hangs on the pod itself.
//!
//! Three engines apply the template: the API server in CEL, the webhook, and `inject`. So nothing is decided there that can be decided
//! here. Objects that are made here copy no label or annotation from the policy: who owns the policy would prune them.

mod aliases;
mod ports;
mod secrets;
mod sidecar;
mod volumes;

use std::collections::BTreeMap;

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::template::{AcceptedSidecar, EnvVar};
use bulkhead_crds::kinds::{
    InjectionTemplate, InjectionTemplateSpec, IsolationPolicy, Mode, Protocol, Selector,
};
use bulkhead_crds::names::objects;
use kube::ResourceExt as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use sidecar::resources;

/// Sidecars of older templates that the guard still lets pass.
const OLDER: usize = 4;
/// Hexadecimal digits of a template's hash.
const HASH_DIGITS: usize = 12;

/// What a template is rendered from.
#[derive(Clone, Copy, Debug)]
pub struct Rendering<'a> {
    /// The policy, for its name and its selector.
    pub policy: &'a IsolationPolicy,
    /// The policy as it is in its namespace's environment.
    pub effective: &'a EffectivePolicy,
    /// The selectors of all older policies of the namespace that are in force.
    pub excluding: &'a [Selector],
    /// The template that is there already.
    pub previous: Option<&'a InjectionTemplate>,
    /// The sidecar.
    pub sidecar: &'a SidecarImage,
    /// What that sidecar opens listeners for.
    pub serves: Serves,
}

/// The sidecar, as far as the installation decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarImage {
    /// Its image.
    pub image: String,
    /// When that is pulled; none leaves it to the API server.
    pub pull_policy: Option<String>,
    /// Its user id; none where the platform assigns it.
    pub run_as_user: Option<i64>,
    /// Its group id; none where the platform assigns it.
    pub run_as_group: Option<i64>,
    /// The cluster's DNS domain, for the long names of Services.
    pub cluster_domain: String,
}

/// What a sidecar opens listeners for. Nothing else is led to it: that traffic goes where it went before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serves {
    /// Whether it stands in front of WebSockets.
    pub web_sockets: bool,
    /// The databases' protocols.
    pub protocols: &'static [Protocol],
}

impl Serves {
    /// The sidecar of this release.
    pub const THIS_RELEASE: Self = Self {
        web_sockets: true,
        protocols: &[Protocol::PostgreSQL, Protocol::Redis, Protocol::ClickHouse],
    };

    /// The databases of a policy for which there is a listener.
    pub fn databases(self, policy: &EffectivePolicy) -> impl Iterator<Item = &EffectiveDatabase> {
        let databases = policy.databases.iter();
        databases.filter(move |database| self.protocols.contains(&database.protocol))
    }
}

/// Renders a policy.
#[must_use]
pub fn template(rendering: &Rendering<'_>) -> InjectionTemplate {
    let (ports, take_ports) = ports::of(rendering);
    let volumes = volumes::of(rendering);
    let sidecar = sidecar::of(rendering, ports, volumes.sidecar);
    let host_aliases = some(aliases::of(rendering));
    let env = some(application_env(rendering));
    let mounts = some(volumes.application);
    let take_ports = some(take_ports);
    let taken_over = ports::mark(rendering);
    let hash = hash(&(
        &sidecar,
        &volumes.pod,
        &host_aliases,
        &env,
        &mounts,
        &take_ports,
        &taken_over,
    ));
    let name = rendering.policy.name_any();
    let spec = InjectionTemplateSpec {
        policy: name.clone(),
        hash,
        enforce: rendering.effective.mode == Mode::Enforce,
        opt_out: rendering.effective.opt_out,
        selector: rendering.policy.spec.selector.clone(),
        excluding: some(rendering.excluding.to_vec()),
        accepted: accepted(sidecar::accepted(&sidecar), rendering.previous),
        sidecar,
        volumes: volumes.pod,
        host_aliases,
        env,
        mounts,
        take_ports,
        taken_over,
    };
    let mut template = InjectionTemplate::new(&name, spec);
    template.metadata.namespace = Some(namespace(rendering).to_owned());
    template.metadata.labels = Some(one(objects::OWNED, "true"));
    template.metadata.annotations = Some(one(objects::POLICY, &name));
    template
}

fn namespace<'a>(rendering: &Rendering<'a>) -> &'a str {
    let named = rendering.policy.metadata.namespace.as_deref();
    named.unwrap_or(&rendering.effective.namespace)
}

fn one(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// What the application's containers are told: the policy's own variables first, for those are somebody's decision.
fn application_env(rendering: &Rendering<'_>) -> Vec<EnvVar> {
    let mut env = rendering.effective.inject_env.clone();
    if volumes::issues_a_certificate(rendering) {
        env.entry("PGSSLROOTCERT".to_owned())
            .or_insert_with(|| format!("{}/ca.crt", volumes::AUTHORITY_DIR));
    }
    env.into_iter()
        .map(|(name, value)| EnvVar { name, value })
        .collect()
}

/// What of it is in a pod's annotation: it changes exactly when something in the pod would.
fn hash(injected: &impl Serialize) -> String {
    // Plain values without maps of other keys than texts: they always have a JSON form.
    let text = serde_json::to_vec(injected).unwrap_or_default();
    let digest = Sha256::digest(&text);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..HASH_DIGITS].to_owned()
}

/// This sidecar, then those of the last few templates: running Jobs, restored pods and manifests in Git have them.
fn accepted(this: AcceptedSidecar, previous: Option<&InjectionTemplate>) -> Vec<AcceptedSidecar> {
    let before = previous.iter().flat_map(|it| &it.spec.accepted);
    let mut older: Vec<_> = before.filter(|it| **it != this).cloned().collect();
    older.truncate(OLDER);
    older.insert(0, this);
    older
}

#[cfg(test)]
mod tests;
