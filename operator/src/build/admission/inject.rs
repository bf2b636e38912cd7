//! The policy by which the API server makes of a pod what its template says, without a webhook in the way.
//!
//! What it does is what `admission::inject` does, step by step; a test holds the two to each other. It fails open: the guard decides
//! about a pod that it missed. `JSONPatch` and not `ApplyConfiguration`, which refuses whole lists.
//!
//! Nothing of somebody else's is written anew: elements are added, removed or replaced one by one, so that a field which this version of
//! CEL's types does not know cannot be lost.

use bulkhead_crds::names::objects;
use serde_json::{Value, json};

use super::selection::{labels, opted_out, selects};
use crate::admission::inject::MESH;

/// The pod's initContainers.
const INIT: &str = "object.spec.?initContainers.orValue([])";

/// The pod's host aliases.
const ALIASES: &str = "object.spec.?hostAliases.orValue([])";

/// The annotation of a pod that was injected before, or nothing.
fn injected() -> String {
    format!(
        "object.metadata.?annotations[?'{}'].orValue('')",
        objects::INJECTED
    )
}

/// The label of a pod whose ports are taken over, or nothing.
fn marked() -> String {
    format!(
        "object.metadata.?labels[?'{}'].orValue('')",
        objects::TAKEN_OVER
    )
}

/// What that label of a pod that is injected now says.
const MARK: &str = "params.spec.?takenOver.orValue('')";

/// What the annotation of a pod that is injected now says.
const REVISION: &str = "params.spec.policy + '@' + params.spec.hash";

fn conditions() -> Value {
    let injected = injected();
    let name = objects::CONTAINER;
    let holds = format!("{INIT}.exists(c, c.name == '{name}')");
    json!([
        {"name": "selected", "expression": selects(&labels("object"))},
        {"name": "not-opted-out", "expression": format!("!{}", opted_out("object"))},
        {"name": "not-mirrored", "expression": "!object.metadata.?annotations[?'kubernetes.io/config.mirror'].hasValue()"},
        {"name": "not-on-the-nodes-network", "expression": "object.spec.?hostNetwork.orValue(false) == false"},
        {
            // A container of that name which is not ours is somebody's.
            "name": "name-not-taken",
            "expression": format!("!object.spec.containers.exists(c, c.name == '{name}') && ({injected} != '' || !{holds})"),
        },
        // Presence and not position: others may have come before it since, and it is asked again after them.
        {
            "name": "not-injected",
            "expression": format!("!({injected} == {REVISION} && {holds} && {} == {MARK})", marked()),
        },
    ])
}

fn variables() -> Value {
    let mesh = format!("['{}']", MESH.join("', '"));
    let name = objects::CONTAINER;
    let seconds = "int(object.spec.?terminationGracePeriodSeconds.orValue(30)) - 5";
    let list = [
        ("rest", format!("{INIT}.filter(c, c.name != '{name}')")),
        ("at", format!("([0] + variables.rest.transformList(i, c, c.name in {mesh}, i + 1)).max()")),
        // Where an older sidecar of ours stands, as a list of at most one.
        ("stale", format!("{INIT}.transformList(i, c, c.name == '{name}', i)")),
        (
            "others",
            "object.spec.containers.transformList(i, c, {'path': dyn('/spec/containers/' + string(i)), 'c': dyn(c)}) \
             + variables.rest.transformList(i, c, \
             {'path': dyn('/spec/initContainers/' + string(i < variables.at ? i : i + 1)), 'c': dyn(c)})"
                .to_owned(),
        ),
        ("aliased", "params.spec.?hostAliases.orValue([]).map(a, a.hostnames).flatten()".to_owned()),
        (
            // An alias on loopback is an older sidecar's, or would lead the sidecar to itself.
            "resolved",
            format!(
                "{ALIASES}.filter(a, !a.ip.startsWith('127.') && a.ip != '::1').map(a, \
                 a.?hostnames.orValue([]).filter(h, h in variables.aliased).map(h, '--resolve=' + h + '=' + a.ip)).flatten()"
            ),
        ),
        (
            // What an older sidecar was told stands in its arguments alone.
            "inherited",
            format!(
                "{INIT}.filter(c, c.name == '{name}').map(c, c.?args.orValue([])\
                 .filter(x, x.startsWith('--resolve=') && x.indexOf('=', 10) > 10 \
                 && !variables.resolved.exists(r, r.startsWith(x.substring(0, x.indexOf('=', 10) + 1))))).flatten()"
            ),
        ),
        ("grace", format!("'--grace=' + string({seconds} > 1 ? {seconds} : 1) + 's'")),
        ("taken", "params.spec.?takePorts.orValue([]).map(t, t.name)".to_owned()),
        ("changes", changes()),
    ];
    list.into_iter()
        .map(|(name, expression)| json!({"name": name, "expression": expression}))
        .collect()
}

/// What changes in each of the application's containers: `[{path, value}]`, each an `add`, which replaces a field that is there.
fn changes() -> String {
    [
        missing("env", "env", "name"),
        missing("mounts", "volumeMounts", "mountPath"),
        renamed(),
        numbered(
            "['readinessProbe', 'livenessProbe', 'startupProbe']",
            "p.c",
            "",
        ),
        numbered("['postStart', 'preStop']", "p.c.?lifecycle", "/lifecycle"),
    ]
    .join(" + ")
}

/// What the template has in `from` and a container lacks in `to`, told by the field `key`.
fn missing(from: &str, to: &str, key: &str) -> String {
    let own = format!("p.c.?{to}.orValue([])");
    format!(
        "variables.others.map(p, \
         ({own}.size() == 0 && params.spec.?{from}.orValue([]).size() > 0 ? [{{'path': dyn(p.path + '/{to}'), 'value': dyn([])}}] : []) \
         + params.spec.?{from}.orValue([]).filter(e, !{own}.exists(x, x.{key} == e.{key}))\
         .map(e, {{'path': dyn(p.path + '/{to}/-'), 'value': dyn(e)}})).flatten()"
    )
}

/// The names of ports that are taken over: the entry stays, under another name.
fn renamed() -> String {
    "variables.others.map(p, p.c.?ports.orValue([]).transformList(j, port, port.?name.orValue('') in variables.taken, \
     {'path': dyn(p.path + '/ports/' + string(j) + '/name'), \
     'value': dyn(params.spec.takePorts.filter(t, t.name == port.name)[0].renamed)})).flatten()"
        .to_owned()
}

/// What asks for a port by a name that is taken over asks for the number that it had in this container.
fn numbered(keys: &str, holder: &str, below: &str) -> String {
    format!(
        "variables.others.map(p, {keys}.map(k, ['httpGet', 'tcpSocket'].map(h, \
         p.c.?ports.orValue([]).filter(port, port.?name.orValue('') in variables.taken \
         && dyn({holder}[?k][?h].?port.orValue(0)) == dyn(port.name))\
         .map(port, {{'path': dyn(p.path + '{below}/' + k + '/' + h + '/port'), 'value': dyn(port.containerPort)}}))\
         .flatten()).flatten()).flatten()"
    )
}

fn mutation() -> String {
    let annotation = objects::INJECTED;
    let sidecar = "'/spec/initContainers/' + string(variables.at)";
    [
        "(object.metadata.?annotations.hasValue() ? [] : [JSONPatch{op: 'add', path: '/metadata/annotations', value: {}}])".to_owned(),
        format!(
            "[JSONPatch{{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('{annotation}'), value: {REVISION}}}]"
        ),
        mark(),
        "variables.stale.map(i, JSONPatch{op: 'remove', path: '/spec/initContainers/' + string(i)})".to_owned(),
        format!("({INIT}.size() > 0 ? [] : [JSONPatch{{op: 'add', path: '/spec/initContainers', value: []}}])"),
        format!(
            "[JSONPatch{{op: 'add', path: {sidecar}, value: dyn(params.spec.sidecar)}}, \
             JSONPatch{{op: 'add', path: {sidecar} + '/args', \
             value: params.spec.sidecar.args + variables.resolved + variables.inherited + [variables.grace]}}]"
        ),
        volumes(),
        aliases(),
        "variables.changes.map(p, JSONPatch{op: 'add', path: p.path, value: p.value})".to_owned(),
    ]
    .join(" + ")
}

/// The label follows the template: it is gone where nothing is taken over any more.
fn mark() -> String {
    let (label, marked) = (objects::TAKEN_OVER, marked());
    let path = format!("'/metadata/labels/' + jsonpatch.escapeKey('{label}')");
    format!(
        "({MARK} == {marked} ? [] : {MARK} == '' ? [JSONPatch{{op: 'remove', path: {path}}}] : \
         (object.metadata.?labels.hasValue() ? [] : [JSONPatch{{op: 'add', path: '/metadata/labels', value: {{}}}}]) \
         + [JSONPatch{{op: 'add', path: {path}, value: {MARK}}}])"
    )
}

/// A template's volume takes the place of one of the same name.
fn volumes() -> String {
    let own = "object.spec.?volumes.orValue([])";
    format!(
        "{own}.transformList(i, v, params.spec.volumes.exists(w, w.name == v.name), i).reverse()\
         .map(i, JSONPatch{{op: 'remove', path: '/spec/volumes/' + string(i)}}) \
         + ({own}.size() > 0 ? [] : [JSONPatch{{op: 'add', path: '/spec/volumes', value: []}}]) \
         + params.spec.volumes.map(v, JSONPatch{{op: 'add', path: '/spec/volumes/-', value: dyn(v)}})"
    )
}

/// A name that the template aliases leads nowhere else.
fn aliases() -> String {
    format!(
        "(variables.aliased.size() == 0 ? [] : [JSONPatch{{op: 'add', path: '/spec/hostAliases', value: \
         {ALIASES}.filter(a, a.?hostnames.orValue([]).exists(h, !(h in variables.aliased)))\
         .map(a, dyn({{'ip': dyn(a.ip), 'hostnames': dyn(a.hostnames.filter(h, !(h in variables.aliased)))}})) \
         + params.spec.?hostAliases.orValue([]).map(a, dyn(a))}}])"
    )
}

/// The policy.
#[must_use]
pub fn policy(excluded: &[String]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": objects::INJECT_POLICY},
        "spec": {
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "IfNeeded",
            "paramKind": super::templates(),
            "matchConstraints": {"namespaceSelector": super::namespaces(excluded), "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
            }]},
            "matchConditions": conditions(),
            "variables": variables(),
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": mutation()}}],
        },
    })
}

/// What puts it in force.
#[must_use]
pub fn binding(excluded: &[String]) -> Value {
    super::binding(
        "MutatingAdmissionPolicyBinding",
        objects::INJECT_POLICY,
        excluded,
    )
}
