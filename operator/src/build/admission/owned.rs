//! The policy that lets the operator alone write what it owns.
//!
//! Otherwise whoever may edit a namespace could set a snapshot to Audit, point an upstream elsewhere and be sent the credentials, or have
//! any container injected. It has no parameters, so nothing can be missing that it needs; therefore it holds in every namespace, also in
//! one that is not labelled yet, where such an object could lie in wait for the label.

use bulkhead_crds::names::objects;
use serde_json::{Value, json};

/// Whoever takes away what has no owner or no namespace any more.
const CLEANERS: &str = "['system:serviceaccount:kube-system:generic-garbage-collector', \
     'system:serviceaccount:kube-system:namespace-controller']";

/// The policy; `operator` is the name by which the API server knows the operator.
#[must_use]
pub fn policy(operator: &str, excluded: &[String]) -> Value {
    // A name has no quotation mark that could end the string: the API server's own service accounts are DNS labels, and a
    // certificate's subject is written by whoever runs the operator.
    let operator = operator.replace(['\'', '\\'], "");
    let labelled = |object: &str| {
        format!(
            "({object} != null && {object}.metadata.?labels[?'{}'].orValue('') == 'true')",
            objects::OWNED
        )
    };
    let ours = format!(
        "request.resource.resource == 'injectiontemplates' || {} || {}",
        labelled("object"),
        labelled("oldObject")
    );
    let allowed = format!(
        "request.userInfo.username == '{operator}' || \
         (request.operation == 'DELETE' && request.userInfo.username in {CLEANERS})"
    );
    let writes = ["CREATE", "UPDATE", "DELETE"];
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": objects::OWNED_POLICY},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"namespaceSelector": super::everywhere(excluded), "resourceRules": [
                {"apiGroups": ["bulkhead.dev"], "apiVersions": ["*"], "operations": writes, "resources": ["injectiontemplates"]},
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": writes, "resources": ["configmaps", "secrets"]},
                {"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "operations": writes, "resources": ["networkpolicies"]},
            ]},
            "matchConditions": [{"name": "owned", "expression": ours}],
            "validations": [{
                "expression": allowed,
                "messageExpression": format!(
                    "request.resource.resource + ' ' + request.name + ' is the operator\\'s: only {operator} may write it; \
                     change the IsolationPolicy that it is made from'"
                ),
                "reason": "Forbidden",
            }],
        },
    })
}

/// What puts it in force.
#[must_use]
pub fn binding(excluded: &[String]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": objects::OWNED_POLICY},
        "spec": {
            "policyName": objects::OWNED_POLICY,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": super::everywhere(excluded)},
        },
    })
}
