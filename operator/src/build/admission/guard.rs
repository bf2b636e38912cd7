//! The policy that refuses a selected pod without its sidecar. It needs no webhook and no operator to be alive.
//!
//! It looks at what a template of an enforced policy selects, and compares the thing itself: image, arguments, environment, mounts, rights.
//! Resources are never compared, for others set them too. An update is looked at only where it could make a difference, so that nobody
//! has to mend an old pod to remove its finalizer.

use bulkhead_crds::names::objects;
use serde_json::{Value, json};

use super::selection::{MIRRORED, OPTED_OUT, labels, selects};

/// The sidecar of the pod in `object`, as a list of at most one.
fn sidecar(object: &str) -> String {
    format!(
        "{object}.spec.?initContainers.orValue([]).filter(c, c.name == '{}')",
        objects::CONTAINER
    )
}

/// Whether an update could make a difference: the pod becomes one that is selected, or its sidecar another.
fn matters() -> String {
    let image = |object: &str| format!("{}.map(c, c.image)", sidecar(object));
    format!(
        "request.operation == 'CREATE' || request.?subResource.orValue('') == 'ephemeralcontainers' || \
         !({}) || {} != {}",
        selects(&labels("oldObject")),
        image("object"),
        image("oldObject")
    )
}

/// Whether the pod has one of the sidecars that the template accepts. Arguments that hang on the pod follow the others.
fn accepted() -> String {
    let own = ["grace", "resolve"]
        .map(|flag| format!("x.startsWith('--{flag}=')"))
        .join(" || ");
    format!(
        "{sidecar}.exists(c, c.?restartPolicy.orValue('') == 'Always' && c.?command.orValue([]).size() == 0 && \
         c.?envFrom.orValue([]).size() == 0 && params.spec.accepted.exists(a, a.image == c.image && \
         (c.?args.orValue([]).join('\\n') + '\\n').startsWith(a.args.join('\\n') + '\\n') && \
         c.?args.orValue([]).filter(x, !(x in a.args)).all(x, {own}) && \
         dyn(c.?env.orValue([])) == dyn(a.?env.orValue([])) && \
         dyn(c.?volumeMounts.orValue([])) == dyn(a.?volumeMounts.orValue([])) && \
         dyn(c.?securityContext.orValue({{}})) == dyn(a.securityContext)))",
        sidecar = sidecar("object")
    )
}

/// Whether no container but the sidecar mounts what is the sidecar's alone.
fn private() -> String {
    let innocent = "c.?volumeMounts.orValue([]).all(m, !(m.name in ['bulkhead-secrets', 'bulkhead-run', 'bulkhead-policy']))";
    format!(
        "object.spec.containers.all(c, {innocent}) && \
         object.spec.?initContainers.orValue([]).all(c, c.name == '{name}' || {innocent}) && \
         object.spec.?ephemeralContainers.orValue([]).all(c, c.?targetContainerName.orValue('') != '{name}' && \
         c.?volumeMounts.orValue([]).all(m, !m.name.startsWith('bulkhead-')))",
        name = objects::CONTAINER
    )
}

/// The policy.
#[must_use]
pub fn policy(excluded: &[String]) -> Value {
    let of = "' of policy ' + params.metadata.namespace + '/' + params.metadata.name + ' in mode Enforce'";
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": objects::GUARD_POLICY},
        "spec": {
            "failurePolicy": "Fail",
            "paramKind": super::templates(),
            "matchConstraints": {"namespaceSelector": super::namespaces(excluded), "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["pods", "pods/ephemeralcontainers"],
            }]},
            "matchConditions": [
                {"name": "enforced", "expression": "params.spec.enforce == true"},
                {"name": "selected", "expression": selects(&labels("object"))},
                {"name": "matters", "expression": matters()},
                {"name": "not-opted-out", "expression": format!("!{OPTED_OUT}")},
                {"name": "not-mirrored", "expression": format!("!{MIRRORED}")},
            ],
            "validations": [
                {
                    "expression": "object.spec.?hostNetwork.orValue(false) == false",
                    "messageExpression": format!("'the pod uses its node\\'s network, where the sidecar cannot stand, and is one' + {of} \
                        + ': remove hostNetwork, or exclude the pod by its labels'"),
                    "reason": "Forbidden",
                },
                {
                    "expression": accepted(),
                    "messageExpression": format!("'the pod has not the sidecar' + {of} + ': it was created while nothing was there to inject it, or \
                        its container {} is another; create it again, or render it with `bulkhead-operator inject`'", objects::CONTAINER),
                    "reason": "Forbidden",
                },
                {
                    "expression": private(),
                    "messageExpression": format!("'a container mounts what is the sidecar\\'s alone, or targets the sidecar' + {of}"),
                    "reason": "Forbidden",
                },
            ],
        },
    })
}

/// What puts it in force.
#[must_use]
pub fn binding(excluded: &[String]) -> Value {
    let mut binding = super::binding(
        "ValidatingAdmissionPolicyBinding",
        objects::GUARD_POLICY,
        excluded,
    );
    binding["spec"]["validationActions"] = json!(["Deny"]);
    binding
}
