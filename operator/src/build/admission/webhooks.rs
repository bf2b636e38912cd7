//! The webhooks' configurations: so narrow that nobody else's object comes by them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bulkhead_crds::names::objects;
use serde_json::{Value, json};

use crate::settings::{Reach, Settings};

/// The path of the webhook that validates policies.
pub const VALIDATE_PATH: &str = "/validate";
/// The path of the webhook that injects.
pub const MUTATE_PATH: &str = "/mutate";

/// The webhook that validates policies and revocations. `authorities` (PEM) are left to somebody else where there are none.
#[must_use]
pub fn validating(settings: &Settings, authorities: Option<&str>) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": objects::VALIDATE_WEBHOOK},
        "webhooks": [{
            "name": "policies.bulkhead.dev",
            "admissionReviewVersions": ["v1"],
            "clientConfig": client(settings, VALIDATE_PATH, authorities),
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "rules": [{
                "apiGroups": ["bulkhead.dev"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
                "resources": ["isolationpolicies", "userrevocations"], "scope": "Namespaced",
            }],
        }],
    })
}

/// The webhook that injects, for servers without MutatingAdmissionPolicy. It fails open: the guard decides about a pod that it missed.
#[must_use]
pub fn mutating(settings: &Settings, authorities: Option<&str>) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": objects::INJECT_POLICY},
        "webhooks": [{
            "name": "pods.bulkhead.dev",
            "admissionReviewVersions": ["v1"],
            "clientConfig": client(settings, MUTATE_PATH, authorities),
            "failurePolicy": "Ignore",
            "matchPolicy": "Equivalent",
            "reinvocationPolicy": "IfNeeded",
            "sideEffects": "None",
            "timeoutSeconds": 2,
            "namespaceSelector": super::namespaces(&settings.excluded_namespaces),
            "matchConditions": [{
                "name": "could-be-selected",
                "expression": "object.spec.?hostNetwork.orValue(false) == false && \
                               !object.metadata.?annotations[?'kubernetes.io/config.mirror'].hasValue()",
            }],
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["pods"], "scope": "Namespaced",
            }],
        }],
    })
}

fn client(settings: &Settings, path: &str, authorities: Option<&str>) -> Value {
    let mut config = match settings.webhooks.reach() {
        Reach::Url(url) => json!({"url": format!("{url}{path}")}),
        Reach::Service(service) => json!({
            "service": {"name": service, "namespace": settings.namespace, "path": path, "port": 443},
        }),
    };
    if let Some(authorities) = authorities {
        config["caBundle"] = json!(BASE64_STANDARD.encode(authorities));
    }
    config
}
