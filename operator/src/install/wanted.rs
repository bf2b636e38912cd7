//! What there should be in the API server: pure.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bulkhead_crds::names::objects;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration,
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Client, Resource};
use serde_json::Value;

use super::InstallError;
use super::apply::{HASH, Object};
use crate::build::admission::{guard, inject, owned, webhooks};
use crate::settings::{Engine, Settings};

/// The definitions without which nothing else makes sense.
pub const DEFINITIONS: &[&str] = &[
    "isolationpolicies.bulkhead.dev",
    "injectiontemplates.bulkhead.dev",
    "userrevocations.bulkhead.dev",
];

/// A cluster-wide object, by its kind and name.
#[derive(Clone)]
pub struct Target {
    /// Its kind.
    pub resource: ApiResource,
    /// Its name.
    pub name: String,
}

/// Everything that there should be, in the order in which it is written, and what should not.
pub struct Wanted {
    /// The webhooks' configurations.
    pub webhooks: Vec<Object>,
    /// The admission policies, without effect by themselves.
    pub policies: Vec<Object>,
    /// What puts them in force.
    pub bindings: Vec<Object>,
    /// What another choice of engine would have left.
    pub unwanted: Vec<Target>,
}

impl Target {
    /// The object of kind `K` by this name.
    #[must_use]
    pub fn of<K: Resource<DynamicType = ()>>(name: &str) -> Self {
        Self {
            resource: ApiResource::erase::<K>(&()),
            name: name.to_owned(),
        }
    }

    /// To reach it.
    #[must_use]
    pub fn api(&self, client: &Client) -> Api<DynamicObject> {
        Api::all_with(client.clone(), &self.resource)
    }

    /// What went wrong with it.
    #[must_use]
    pub fn error(&self, source: kube::Error) -> InstallError {
        InstallError::Object {
            object: self.to_string(),
            source: Box::new(source),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.resource.kind, self.name)
    }
}

/// All that any version of the operator installs, in the order in which it is removed: what has an effect first.
#[must_use]
pub fn all() -> Vec<Target> {
    vec![
        Target::of::<MutatingAdmissionPolicyBinding>(objects::INJECT_POLICY),
        Target::of::<ValidatingAdmissionPolicyBinding>(objects::GUARD_POLICY),
        Target::of::<ValidatingAdmissionPolicyBinding>(super::trial::NAME),
        Target::of::<ValidatingAdmissionPolicyBinding>(objects::OWNED_POLICY),
        Target::of::<MutatingAdmissionPolicy>(objects::INJECT_POLICY),
        Target::of::<ValidatingAdmissionPolicy>(objects::GUARD_POLICY),
        Target::of::<ValidatingAdmissionPolicy>(super::trial::NAME),
        Target::of::<ValidatingAdmissionPolicy>(objects::OWNED_POLICY),
        Target::of::<MutatingWebhookConfiguration>(objects::INJECT_POLICY),
        Target::of::<ValidatingWebhookConfiguration>(objects::VALIDATE_WEBHOOK),
    ]
}

/// What there should be with these settings. `identity` is the operator's own name; `authorities` are announced where given.
///
/// # Errors
/// None in practice: every object has a kind and a name.
pub fn wanted(
    settings: &Settings,
    engine: Engine,
    identity: &str,
    authorities: Option<&str>,
) -> Result<Wanted, InstallError> {
    let excluded = &settings.excluded_namespaces;
    let mut wanted = Wanted {
        webhooks: vec![object::<ValidatingWebhookConfiguration>(
            webhooks::validating(settings, authorities),
        )?],
        policies: vec![
            object::<ValidatingAdmissionPolicy>(owned::policy(identity, excluded))?,
            object::<ValidatingAdmissionPolicy>(guard::policy(excluded))?,
        ],
        bindings: vec![
            object::<ValidatingAdmissionPolicyBinding>(owned::binding(excluded))?,
            object::<ValidatingAdmissionPolicyBinding>(guard::binding(excluded))?,
        ],
        unwanted: Vec::new(),
    };
    let injects = objects::INJECT_POLICY;
    if engine == Engine::Webhook {
        let webhook = webhooks::mutating(settings, authorities);
        wanted
            .webhooks
            .push(object::<MutatingWebhookConfiguration>(webhook)?);
        // On a server that knows no such kinds there is nothing to remove, which is as good.
        wanted.unwanted = vec![
            Target::of::<MutatingAdmissionPolicyBinding>(injects),
            Target::of::<MutatingAdmissionPolicy>(injects),
        ];
    } else {
        let policy = object::<MutatingAdmissionPolicy>(inject::policy(excluded))?;
        wanted.policies.push(policy);
        let binding = object::<MutatingAdmissionPolicyBinding>(inject::binding(excluded))?;
        // Before the guard: who would be refused is injected first.
        wanted.bindings.insert(0, binding);
        wanted.unwanted = vec![Target::of::<MutatingWebhookConfiguration>(injects)];
    }
    Ok(wanted)
}

/// An object of kind `K` to apply, with the mark of what it is applied from.
fn object<K: Resource<DynamicType = ()>>(body: Value) -> Result<Object, InstallError> {
    let hash = digest::digest(&digest::SHA256, &serde_json::to_vec(&body)?);
    let mut body: DynamicObject = serde_json::from_value(body)?;
    body.metadata
        .annotations
        .get_or_insert_with(BTreeMap::new)
        .insert(
            HASH.to_owned(),
            BASE64_STANDARD_NO_PAD.encode(hash.as_ref()),
        );
    Ok(Object {
        target: Target::of::<K>(body.metadata.name.as_deref().unwrap_or_default()),
        body,
    })
}
