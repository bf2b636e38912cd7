//! What there should be in the API server: pure.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bulkhead_crds::names::objects;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration,
    RuleWithOperations, ServiceReference, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingWebhook, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use kube::api::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Client, Resource};
use serde::Serialize;

use super::InstallError;
use super::apply::{HASH, Object};
use crate::settings::{Engine, Reach, Settings};

/// The definitions without which nothing else makes sense.
pub const DEFINITIONS: &[&str] = &[
    "isolationpolicies.bulkhead.dev",
    "injectiontemplates.bulkhead.dev",
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
        Target::of::<ValidatingAdmissionPolicyBinding>(super::trial::BINDING),
        Target::of::<ValidatingAdmissionPolicyBinding>(objects::OWNED_POLICY),
        Target::of::<MutatingAdmissionPolicy>(objects::INJECT_POLICY),
        Target::of::<ValidatingAdmissionPolicy>(objects::GUARD_POLICY),
        Target::of::<ValidatingAdmissionPolicy>(objects::OWNED_POLICY),
        Target::of::<MutatingWebhookConfiguration>(objects::INJECT_POLICY),
        Target::of::<ValidatingWebhookConfiguration>(objects::VALIDATE_WEBHOOK),
    ]
}

/// What there should be with these settings. `identity` is the operator's own name; `authorities` are announced where given.
///
/// # Errors
/// None in practice: every object is representable as JSON.
pub fn wanted(
    settings: &Settings,
    engine: Engine,
    identity: &str,
    authorities: Option<&str>,
) -> Result<Wanted, InstallError> {
    let _ = (engine, identity);
    Ok(Wanted {
        webhooks: vec![object(&validating(settings, authorities))?],
        policies: Vec::new(),
        bindings: Vec::new(),
        unwanted: Vec::new(),
    })
}

/// An object to apply, with the mark of what it is applied from.
fn object<K>(typed: &K) -> Result<Object, InstallError>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    let mut body: DynamicObject = serde_json::from_value(serde_json::to_value(typed)?)?;
    let hash = digest::digest(&digest::SHA256, &serde_json::to_vec(&body)?);
    body.metadata
        .annotations
        .get_or_insert_with(BTreeMap::new)
        .insert(
            HASH.to_owned(),
            BASE64_STANDARD_NO_PAD.encode(hash.as_ref()),
        );
    Ok(Object {
        target: Target::of::<K>(typed.meta().name.as_deref().unwrap_or_default()),
        body,
    })
}

/// The webhook that validates policies, and nothing else: no other object ever comes by it.
fn validating(settings: &Settings, authorities: Option<&str>) -> ValidatingWebhookConfiguration {
    let path = crate::admission::review::VALIDATE_PATH;
    let mut client = WebhookClientConfig {
        ca_bundle: authorities.map(|bundle| ByteString(bundle.as_bytes().to_vec())),
        ..WebhookClientConfig::default()
    };
    match &settings.reach {
        Reach::Url(url) => client.url = Some(format!("{url}{path}")),
        Reach::Service(service) => {
            client.service = Some(ServiceReference {
                name: service.clone(),
                namespace: settings.namespace.clone(),
                path: Some(path.to_owned()),
                port: Some(443),
            });
        }
    }
    ValidatingWebhookConfiguration {
        metadata: ObjectMeta {
            name: Some(objects::VALIDATE_WEBHOOK.to_owned()),
            ..ObjectMeta::default()
        },
        webhooks: Some(vec![ValidatingWebhook {
            name: "policies.bulkhead.dev".to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: client,
            failure_policy: Some("Fail".to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(5),
            rules: Some(vec![RuleWithOperations {
                api_groups: Some(vec!["bulkhead.dev".to_owned()]),
                api_versions: Some(vec!["*".to_owned()]),
                operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
                resources: Some(vec!["isolationpolicies".to_owned()]),
                scope: Some("Namespaced".to_owned()),
            }]),
            ..ValidatingWebhook::default()
        }]),
    }
}
