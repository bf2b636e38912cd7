//! The policy by which the API server makes of a pod what its template says, without a webhook in the way.
//!
//! What it does is what `admission::inject` does, step by step; a test holds the two to each other. It fails open: the guard decides
//! about a pod that it missed. `JSONPatch` and not `ApplyConfiguration`, which refuses whole lists.

use bulkhead_crds::names::objects;
use serde_json::{Value, json};

use super::selection::{OPTED_OUT, labels, selects};

/// Containers of a mesh that must come first: they are what the sidecar's own traffic passes through.
pub const MESH: [&str; 6] = [
    "istio-init",
    "istio-validation",
    "istio-proxy",
    "linkerd-init",
    "linkerd-network-validator",
    "linkerd-proxy",
];

/// A list of CEL strings.
fn strings(list: &[&str]) -> String {
    format!("['{}']", list.join("', '"))
}

/// The pod's initContainers.
const INIT: &str = "object.spec.?initContainers.orValue([])";

fn conditions() -> Value {
    let injected = format!(
        "object.metadata.?annotations[?'{}'].orValue('')",
        objects::INJECTED
    );
    let name = objects::CONTAINER;
    json!([
        {"name": "selected", "expression": selects(&labels("object"))},
        {"name": "not-opted-out", "expression": format!("!{OPTED_OUT}")},
        {"name": "not-on-the-nodes-network", "expression": "object.spec.?hostNetwork.orValue(false) == false"},
        {"name": "not-mirrored", "expression": "!object.metadata.?annotations[?'kubernetes.io/config.mirror'].hasValue()"},
        {
            "name": "not-injected",
            "expression": format!("!({injected} == params.metadata.name + '@' + params.spec.hash && {INIT}.exists(c, c.name == '{name}'))"),
        },
        {
            // A container of that name which is not ours is somebody's.
            "name": "name-not-taken",
            "expression": format!("!object.spec.containers.exists(c, c.name == '{name}') && ({injected} != '' || !{INIT}.exists(c, c.name == '{name}'))"),
        },
    ])
}

fn variables() -> Value {
    let mesh = strings(&MESH);
    let name = objects::CONTAINER;
    let aliases = "object.spec.?hostAliases.orValue([])";
    // An alias on loopback was the work of an older sidecar of ours.
    let elsewhere = "!a.ip.startsWith('127.') && a.ip != '::1'";
    let seconds = "int(object.spec.?terminationGracePeriodSeconds.orValue(30))";
    json!([
        {"name": "before", "expression": format!("{INIT}.filter(c, c.name in {mesh})")},
        {"name": "after", "expression": format!("{INIT}.filter(c, !(c.name in {mesh}) && c.name != '{name}')")},
        {"name": "aliased", "expression": "params.spec.?hostAliases.orValue([]).map(a, a.hostnames).flatten()"},
        {
            "name": "resolves",
            "expression": format!("{aliases}.filter(a, {elsewhere}).map(a, a.?hostnames.orValue([]).filter(h, h in variables.aliased)\
                .map(h, '--resolve=' + h + '=' + a.ip)).flatten()"),
        },
        {
            "name": "aliases",
            "expression": format!("{aliases}.filter(a, a.?hostnames.orValue([]).exists(h, !(h in variables.aliased)))\
                .map(a, dyn({{'ip': dyn(a.ip), 'hostnames': dyn(a.hostnames.filter(h, !(h in variables.aliased)))}}))\
                + params.spec.?hostAliases.orValue([]).map(a, dyn(a))"),
        },
        {"name": "grace", "expression": format!("'--grace=' + string({seconds} * 3 / 4 > 0 ? {seconds} * 3 / 4 : 1) + 's'")},
        {"name": "volumes", "expression": "object.spec.?volumes.orValue([]).filter(v, !params.spec.volumes.exists(w, w.name == v.name)).map(v, dyn(v)) \
            + params.spec.volumes.map(v, dyn(v))"},
        {"name": "taken", "expression": "params.spec.?takePorts.orValue([]).map(t, t.name)"},
        {"name": "inContainers", "expression": changes("object.spec.containers", "'/spec/containers/' + string(i)")},
        {"name": "inInitContainers", "expression": changes("variables.after", "'/spec/initContainers/' + string(i + 1 + variables.before.size())")},
    ])
}

/// What changes in each of the application's containers: `[{path, value}]`, each an `add`, which replaces what is there.
fn changes(containers: &str, path: &str) -> String {
    let lists = [("env", "env"), ("mounts", "volumeMounts")].map(|(from, to)| {
        let missing = format!(
            "params.spec.?{from}.orValue([]).filter(e, !c.?{to}.orValue([]).exists(x, x.name == e.name))"
        );
        format!(
            "({containers}.transformList(i, c, {missing}.size() > 0, {{'path': dyn({path} + '/{to}'), \
             'value': dyn(c.?{to}.orValue([]).map(x, dyn(x)) + {missing}.map(e, dyn(e)))}}))"
        )
    });
    let renamed = "params.spec.takePorts.filter(t, t.name == p.name)[0].renamed";
    let ports = format!(
        "({containers}.transformList(i, c, c.?ports.orValue([]).transformList(j, p, p.?name.orValue('') in variables.taken, \
         {{'path': dyn({path} + '/ports/' + string(j) + '/name'), 'value': dyn({renamed})}})).flatten())"
    );
    let numbers = |holder: &str, below: &str, keys: &str| {
        format!(
            "({containers}.transformList(i, c, {keys}.map(k, ['httpGet', 'tcpSocket'].map(h, \
             c.?ports.orValue([]).filter(p, p.?name.orValue('') in variables.taken && dyn({holder}[?k][?h].?port.orValue(0)) == dyn(p.name))\
             .map(p, {{'path': dyn({path} + '{below}/' + k + '/' + h + '/port'), 'value': dyn(p.containerPort)}}))).flatten()).flatten().flatten())"
        )
    };
    let probes = numbers(
        "c",
        "",
        "['readinessProbe', 'livenessProbe', 'startupProbe']",
    );
    let hooks = numbers("c.?lifecycle", "/lifecycle", "['postStart', 'preStop']");
    [lists.join(" + "), ports, probes, hooks].join(" + ")
}

fn mutation() -> String {
    let annotation = objects::INJECTED;
    format!(
        "[JSONPatch{{op: 'add', path: '/metadata/annotations', value: object.metadata.?annotations.orValue({{}})}}, \
         JSONPatch{{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('{annotation}'), value: params.metadata.name + '@' + params.spec.hash}}, \
         JSONPatch{{op: 'add', path: '/spec/initContainers', value: variables.before.map(c, dyn(c)) + [dyn(params.spec.sidecar)] + variables.after.map(c, dyn(c))}}, \
         JSONPatch{{op: 'add', path: '/spec/initContainers/' + string(variables.before.size()) + '/args', \
         value: params.spec.sidecar.args + variables.resolves + [variables.grace]}}, \
         JSONPatch{{op: 'add', path: '/spec/volumes', value: variables.volumes}}] \
         + (variables.aliases.size() > 0 || object.spec.?hostAliases.orValue([]).size() > 0 ? \
         [JSONPatch{{op: 'add', path: '/spec/hostAliases', value: variables.aliases}}] : []) \
         + (variables.inContainers + variables.inInitContainers).map(p, JSONPatch{{op: 'add', path: p.path, value: p.value}})"
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
