//! Whether a template is for a pod, in CEL.

use bulkhead_crds::names::objects;

/// Whether labels match a selector: what Kubernetes' own label selectors say. `labels` and `selector` are expressions.
fn matches(selector: &str, labels: &str) -> String {
    format!(
        "({selector}.?matchLabels.orValue({{}}).all(k, k in {labels} && {labels}[k] == {selector}.matchLabels[k]) \
         && {selector}.?matchExpressions.orValue([]).all(e, \
         e.operator == 'In' ? (e.key in {labels} && {labels}[e.key] in e.?values.orValue([])) : \
         e.operator == 'NotIn' ? !(e.key in {labels} && {labels}[e.key] in e.?values.orValue([])) : \
         e.operator == 'Exists' ? e.key in {labels} : !(e.key in {labels})))"
    )
}

/// Whether the template selects a pod with these labels, and no older policy has it.
pub(super) fn selects(labels: &str) -> String {
    format!(
        "{} && !params.spec.?excluding.orValue([]).exists(s, {})",
        matches("params.spec.selector", labels),
        matches("s", labels)
    )
}

/// The labels of the pod in `object`, or of the one before in `oldObject`.
pub(super) fn labels(object: &str) -> String {
    format!("{object}.metadata.?labels.orValue({{}})")
}

/// Whether the annotation of the pod in `object` keeps the sidecar out, and the policy lets it.
pub(super) fn opted_out(object: &str) -> String {
    format!(
        "(params.spec.optOut == 'Allowed' && {object}.metadata.?annotations[?'{}'].orValue('') == 'false')",
        objects::INJECT
    )
}

/// Whether a node mirrors a file of its own: nothing can change or prevent it. The annotation alone would be anybody's to write.
pub(super) const MIRRORED: &str = "(object.metadata.?annotations[?'kubernetes.io/config.mirror'].hasValue() && \
     'system:nodes' in request.userInfo.?groups.orValue([]))";
