//! What the API server is given so that it admits no pod that gets around a policy: admission policies, bindings, webhooks. Pure.
//!
//! - [`inject`]: a MutatingAdmissionPolicy that makes of a pod what its InjectionTemplate says, in CEL.
//! - [`guard`]: a ValidatingAdmissionPolicy that refuses a selected pod without its sidecar, whoever was to inject it.
//! - [`owned`]: a ValidatingAdmissionPolicy that lets the operator alone write what it owns.
//! - [`webhooks`]: the same injection by a webhook, for older servers, and the webhook that validates policies.
//!
//! Every policy, binding and webhook about pods has [`namespaces`] as its selector, so that a namespace without the label is never in reach of a
//! mistake here. It must stand in the policies too: one whose parameters' kind is not known (its definition is deleted, or the API server
//! has just started) refuses whatever it matches, before anybody looks at its bindings.

pub mod guard;
pub mod inject;
pub mod owned;
mod selection;
pub mod webhooks;

use bulkhead_crds::names::objects;
use serde_json::{Value, json};

/// The kind that the policies have as their parameters.
fn templates() -> Value {
    json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "InjectionTemplate"})
}

/// The namespaces in which pods are looked at: labelled, and not one of `excluded`.
#[must_use]
pub fn namespaces(excluded: &[String]) -> Value {
    json!({
        "matchLabels": {objects::INJECTION: objects::ENABLED},
        "matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": excluded},
        ],
    })
}

/// The namespaces in which objects of the operator's are looked at: all but `excluded`.
fn everywhere(excluded: &[String]) -> Value {
    let mut selector = namespaces(excluded);
    if let Some(selector) = selector.as_object_mut() {
        selector.remove("matchLabels");
    }
    selector
}

/// A binding of the policy of the same name to the templates of each pod's own namespace.
fn binding(kind: &str, name: &str, excluded: &[String]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            // Without a template there is nothing to do, and nobody to refuse.
            "paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"},
            "matchResources": {"namespaceSelector": namespaces(excluded)},
        },
    })
}
