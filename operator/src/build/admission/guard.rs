//! The policy that refuses a selected pod without its sidecar. It needs no webhook and no operator to be alive.
//!
//! It looks at what a template of an enforced policy selects, and compares the thing itself: image, arguments, environment, mounts, rights.
//! Resources are never compared, for others set them too. An update is looked at only where it could make a difference, so that nobody
//! has to mend an old pod to remove its finalizer; and an ephemeral container for itself alone, so that an old pod can be debugged.

use bulkhead_crds::names::objects;
use serde_json::{Value, json};

use super::selection::{MIRRORED, labels, opted_out, selects};

/// Volumes that the sidecar alone may mount.
const PRIVATE: &str = "['bulkhead-policy', 'bulkhead-secrets', 'bulkhead-run', 'bulkhead-no-token', 'bulkhead-audit']";

/// Whether an ephemeral container is what is asked for.
const EPHEMERAL: &str = "request.?subResource.orValue('') == 'ephemeralcontainers'";

/// The sidecar of the pod in `object`, as a list of at most one.
fn sidecar(object: &str) -> String {
    format!(
        "{object}.spec.?initContainers.orValue([]).filter(c, c.name == '{}')",
        objects::CONTAINER
    )
}

/// Whether an update could make a difference: the pod becomes one that the policy is for, or its sidecar another. Nothing else of what is
/// compared can change in a pod that exists.
fn matters() -> String {
    let image = |object: &str| format!("{}.map(c, c.image)", sidecar(object));
    format!(
        "request.operation == 'CREATE' || {EPHEMERAL} || !({}) || {} || {} != {}",
        selects(&labels("oldObject")),
        opted_out("oldObject"),
        image("object"),
        image("oldObject")
    )
}

/// Whether the pod has one of the sidecars that the template accepts.
fn accepted() -> String {
    let args =
        "c.?args.orValue([]).filter(x, !x.startsWith('--grace=') && !x.startsWith('--resolve='))";
    format!(
        "variables.sidecar.exists(c, c.?restartPolicy.orValue('') == 'Always' && c.?command.orValue([]).size() == 0 \
         && c.?envFrom.orValue([]).size() == 0 && c.?volumeDevices.orValue([]).size() == 0 \
         && params.spec.accepted.exists(a, a.image == c.image && {args} == a.args \
         && dyn(c.?env.orValue([])) == dyn(a.env) && dyn(c.?volumeMounts.orValue([])) == dyn(a.volumeMounts) && {}))",
        confined()
    )
}

/// Whether the sidecar `c` may do what `a` says, and no more. Field by field: the platform may set others, and a user where none is named.
fn confined() -> String {
    let (has, says) = ("c.?securityContext", "a.securityContext");
    let same =
        |field: &str, default: &str| format!("{has}.?{field}.orValue({default}) == {says}.{field}");
    let as_said = |field: &str| {
        format!("(!has({says}.{field}) || {has}.?{field}.orValue(-1) == {says}.{field})")
    };
    [
        same("allowPrivilegeEscalation", "true"),
        same("readOnlyRootFilesystem", "false"),
        same("runAsNonRoot", "false"),
        as_said("runAsUser"),
        as_said("runAsGroup"),
        format!("{has}.?privileged.orValue(false) == false"),
        format!("{has}.?capabilities.?drop.orValue([]) == {says}.capabilities.drop"),
        format!("{has}.?capabilities.?add.orValue([]).size() == 0"),
        format!("{has}.?seccompProfile.?type.orValue('') == {says}.seccompProfile.type"),
    ]
    .join(" && ")
}

/// Whether the sidecar's volumes carry what the template says. Fewer keys of Secrets are an earlier template's; others are somebody's.
fn genuine() -> String {
    let template = |name: &str| format!("params.spec.volumes.filter(w, w.name == '{name}')");
    let same_secret = "t.secret.name == s.?secret.?name.orValue('')";
    let same_items = "s.secret.?items.orValue([]).size() > 0 \
         && s.secret.items.all(i, t.secret.items.exists(j, j.key == i.key && j.path == i.path))";
    // An older template's pod may have a trail where there is to be none any more.
    let audit = objects::AUDIT_VOLUME;
    let claim = |volume: &str| format!("{volume}.?persistentVolumeClaim.?claimName.orValue('')");
    format!(
        "variables.volumes.filter(v, v.name == 'bulkhead-policy').all(v, v.?configMap.?items.orValue([]).size() == 0 \
         && {}.exists(w, w.?configMap.?name.orValue('') == v.?configMap.?name.orValue('-'))) \
         && variables.volumes.filter(v, v.name == 'bulkhead-secrets').all(v, v.?projected.hasValue() \
         && v.projected.?sources.orValue([]).all(s, \
         {}.exists(w, w.?projected.?sources.orValue([]).exists(t, {same_secret} && {same_items})))) \
         && variables.volumes.filter(v, v.name == '{audit}').all(v, {}.all(w, \
         {} == {} && (v.?emptyDir.hasValue() || v.?persistentVolumeClaim.hasValue())))",
        template("bulkhead-policy"),
        template("bulkhead-secrets"),
        template(audit),
        claim("w"),
        claim("v"),
    )
}

/// Whether no container but the sidecar mounts what is the sidecar's alone.
fn private() -> String {
    let innocent = format!("c.?volumeMounts.orValue([]).all(m, !(m.name in {PRIVATE}))");
    format!(
        "object.spec.containers.all(c, {innocent}) && \
         object.spec.?initContainers.orValue([]).all(c, c.name == '{name}' || {innocent})",
        name = objects::CONTAINER
    )
}

/// Whether the ephemeral containers that are new keep away from the sidecar.
fn apart() -> String {
    format!(
        "object.spec.?ephemeralContainers.orValue([])\
         .filter(c, !oldObject.spec.?ephemeralContainers.orValue([]).exists(o, o.name == c.name))\
         .all(c, c.?targetContainerName.orValue('') != '{name}' \
         && c.?volumeMounts.orValue([]).all(m, !(m.name in {PRIVATE})))",
        name = objects::CONTAINER
    )
}

/// A rule, and what it says where it does not hold: `why` and `cure` are put about the policy's name.
fn rule(holds: &str, why: &str, cure: &str) -> Value {
    let of = "IsolationPolicy ' + params.metadata.namespace + '/' + params.spec.policy + '";
    json!({
        "expression": holds,
        "messageExpression": format!("'{of} (mode Enforce) refuses this pod: ' + {why} + '; ' + {cure}"),
        "reason": "Forbidden",
    })
}

fn rules() -> [Value; 5] {
    let whole = |holds: &str| format!("{EPHEMERAL} || ({holds})");
    let name = objects::CONTAINER;
    let foreign = format!("object.spec.containers.exists(c, c.name == '{name}')");
    [
        rule(
            &whole("object.spec.?hostNetwork.orValue(false) == false"),
            "'it uses its node\\'s network, where the sidecar cannot stand'",
            "'remove hostNetwork, or let the policy\\'s selector not match it'",
        ),
        rule(
            &whole(&accepted()),
            &format!(
                "({foreign} ? 'a container of its own is called {name}' : variables.sidecar.size() == 0 ? 'it has not the sidecar {name}' : \
                 'its container {name} is not the sidecar that the policy has (image, arguments, environment, mounts and rights are compared)')"
            ),
            &format!(
                "({foreign} ? 'give it another name' : variables.sidecar.size() == 0 ? 'nothing was there to inject it: create the pod again, \
                 or render it with `bulkhead-operator inject`' : 'leave it out, so that it is injected, or render the pod anew with \
                 `bulkhead-operator inject`')"
            ),
        ),
        rule(
            &whole(&genuine()),
            "'its volume bulkhead-policy, bulkhead-secrets or bulkhead-audit is not the one that the policy has'",
            "'leave them out, so that they are injected, or render the pod anew with `bulkhead-operator inject`'",
        ),
        rule(
            &whole(&private()),
            &format!(
                "'a container other than {name} mounts a volume that is the sidecar\\'s alone'"
            ),
            &format!("'remove its mounts of the volumes ' + {PRIVATE}.join(', ')"),
        ),
        rule(
            &format!("!({EPHEMERAL}) || ({})", apart()),
            "'an ephemeral container mounts a volume that is the sidecar\\'s alone, or targets the sidecar'",
            "'leave out the mount, and target a container of the application'",
        ),
    ]
}

/// The policy.
#[must_use]
pub fn policy(excluded: &[String]) -> Value {
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
                {"name": "not-opted-out", "expression": format!("!{}", opted_out("object"))},
                {"name": "not-mirrored", "expression": format!("!{MIRRORED}")},
                {"name": "matters", "expression": matters()},
            ],
            "variables": [
                {"name": "sidecar", "expression": sidecar("object")},
                {"name": "volumes", "expression": "object.spec.?volumes.orValue([])"},
            ],
            "validations": rules(),
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
