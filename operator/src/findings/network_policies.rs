//! NetworkPolicies that admit the application's own port, which the sidecar has taken the place of.
//!
//! They only ever add up: one that admits a port cannot be outdone by another, the operator's own least of all.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_crds::conditions::DegradedReason;
use bulkhead_crds::names::objects::OWNED;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::{Exposed, TakenOver};

/// NetworkPolicies by which clients still reach a taken-over port of the application, or do not reach the sidecar that took its place:
/// those that admit the application's port where none admits the sidecar's; those that admit a port which is to be closed; and those that
/// are over some of the pods alone, for which nobody closes it to the others.
///
/// `pods` are the labels of the pods that the policy selects.
#[must_use]
pub fn around<'a>(
    taken: &[TakenOver],
    pods: &[&BTreeMap<String, String>],
    policies: impl IntoIterator<Item = &'a NetworkPolicy>,
) -> Vec<Exposed> {
    let policies: Vec<&NetworkPolicy> = policies
        .into_iter()
        .filter(|it| bars_ingress(it) && !is_ours(it))
        .collect();
    let mut found: Vec<Exposed> = Vec::new();
    let mut add = |exposed: Exposed| {
        if !found.contains(&exposed) {
            found.push(exposed);
        }
    };
    for labels in pods {
        let over: Vec<_> = policies
            .iter()
            .filter(|policy| selected(policy, labels))
            .collect();
        for taken in taken {
            // Policies add up: one that admits the sidecar's port is enough.
            let reaches_sidecar = over.iter().any(|policy| admits_sidecar(policy, taken));
            for policy in &over {
                if reaches_sidecar {
                    reopened(policy, taken).map(&mut add);
                } else {
                    stale(policy, taken).map(&mut add);
                }
            }
        }
    }
    uneven(taken, pods, &policies).map(&mut add);
    found
}

/// Whether a NetworkPolicy of somebody else's says what may come in to pods with one of these sets of labels. One of ours beside it would
/// open them to everybody.
#[must_use]
pub fn is_over<'a>(
    pods: &[&BTreeMap<String, String>],
    policies: impl IntoIterator<Item = &'a NetworkPolicy>,
) -> bool {
    policies.into_iter().any(|policy| {
        bars_ingress(policy)
            && !is_ours(policy)
            && pods.iter().any(|labels| selected(policy, labels))
    })
}

/// Whether the operator has made it.
#[must_use]
pub fn is_ours(policy: &NetworkPolicy) -> bool {
    policy.labels().get(OWNED).map(String::as_str) == Some("true")
}

fn stale(policy: &NetworkPolicy, taken: &TakenOver) -> Option<Exposed> {
    let path = admitted(policy, taken, &taken.application)?;
    let message = format!(
        "admits the application's port and not port {} of the sidecar, which took its place: write `port: {}`, which follows the name",
        taken.sidecar, taken.name
    );
    Some(exposed(policy, path, message))
}

fn reopened(policy: &NetworkPolicy, taken: &TakenOver) -> Option<Exposed> {
    let closed = taken.closed?;
    let path = admitted(policy, taken, &[closed].into())?;
    let message = format!(
        "admits the application's own port {closed}, past the sidecar, and no other NetworkPolicy can take that back: list the ports that are \
         meant, the sidecar's as `port: {}`",
        taken.name
    );
    Some(exposed(policy, path, message))
}

/// One that is over some of the pods and not over all: the operator's own would open the former, so the latter have none.
fn uneven(
    taken: &[TakenOver],
    pods: &[&BTreeMap<String, String>],
    policies: &[&NetworkPolicy],
) -> Option<Exposed> {
    let closed: Vec<String> = taken
        .iter()
        .filter_map(|it| Some(it.closed?.to_string()))
        .collect();
    let is_bare = |labels: &&&BTreeMap<String, String>| {
        !policies.iter().any(|policy| selected(policy, labels))
    };
    let bare = pods.iter().filter(is_bare).count();
    let over = policies
        .iter()
        .find(|policy| pods.iter().any(|labels| selected(policy, labels)))?;
    if closed.is_empty() || bare == 0 {
        return None;
    }
    let message = format!(
        "is over some of the pods that the policy selects and not over all: a generated NetworkPolicy would open those to everybody, so there is \
         none, and the application's own port ({}) answers in the others, past the sidecar: have a NetworkPolicy over them too, with \
         the ports that are meant",
        closed.join(", ")
    );
    Some(exposed(over, "spec.podSelector".to_owned(), message))
}

fn exposed(policy: &NetworkPolicy, path: String, message: String) -> Exposed {
    Exposed {
        reason: DegradedReason::NetworkPolicy,
        kind: "NetworkPolicy".to_owned(),
        name: policy.name_any(),
        path,
        message,
    }
}

fn bars_ingress(policy: &NetworkPolicy) -> bool {
    let types = policy
        .spec
        .as_ref()
        .and_then(|spec| spec.policy_types.as_ref());
    types.is_none_or(|types| types.is_empty() || types.iter().any(|it| it == "Ingress"))
}

fn selected(policy: &NetworkPolicy, labels: &BTreeMap<String, String>) -> bool {
    let selector = policy
        .spec
        .as_ref()
        .and_then(|spec| spec.pod_selector.as_ref());
    selector.is_none_or(|selector| matches(selector, labels))
}

/// What Kubernetes' own label selectors say; an operator that is none selects nothing.
fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    equal
        .into_iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && expressions.into_iter().all(|it| {
            let value = labels.get(&it.key);
            let listed = value.is_some_and(|value| it.values.iter().flatten().any(|v| v == value));
            match it.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

fn admits_sidecar(policy: &NetworkPolicy, taken: &TakenOver) -> bool {
    let is_sidecar = |port: &NetworkPolicyPort| match &port.port {
        None => true,
        Some(IntOrString::String(name)) => *name == taken.name,
        Some(IntOrString::Int(first)) => covers(*first, port.end_port, taken.sidecar),
    };
    rules(policy).any(|(_, ports)| {
        ports.is_none_or(|ports| ports.iter().any(|port| is_tcp(port) && is_sidecar(port)))
    })
}

/// The path of the first field by which a policy admits one of these ports of the application.
fn admitted(policy: &NetworkPolicy, taken: &TakenOver, numbers: &BTreeSet<i32>) -> Option<String> {
    let is_it = |port: &NetworkPolicyPort| match &port.port {
        None => true,
        Some(IntOrString::String(name)) => *name == taken.renamed,
        Some(IntOrString::Int(first)) => numbers
            .iter()
            .any(|number| covers(*first, port.end_port, *number)),
    };
    rules(policy).find_map(|(rule, ports)| {
        let Some(ports) = ports else {
            return Some(format!("spec.ingress[{rule}]"));
        };
        let at = ports.iter().position(|port| is_tcp(port) && is_it(port))?;
        Some(format!("spec.ingress[{rule}].ports[{at}].port"))
    })
}

fn covers(first: i32, last: Option<i32>, number: i32) -> bool {
    (first..=last.unwrap_or(first)).contains(&number)
}

fn is_tcp(port: &NetworkPolicyPort) -> bool {
    port.protocol.as_deref().is_none_or(|it| it == "TCP")
}

/// The rules, with their positions and ports; none are all of them.
fn rules(policy: &NetworkPolicy) -> impl Iterator<Item = (usize, Option<&[NetworkPolicyPort]>)> {
    let rules = policy.spec.as_ref().and_then(|spec| spec.ingress.as_ref());
    rules
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, rule)| {
            let ports = rule.ports.as_deref();
            (index, ports.filter(|ports| !ports.is_empty()))
        })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{closed, labels, taken};
    use super::*;

    fn network_policy(name: &str, spec: serde_json::Value) -> NetworkPolicy {
        serde_json::from_value(serde_json::json!({"metadata": {"name": name}, "spec": spec}))
            .unwrap()
    }

    fn admitting(name: &str, ports: serde_json::Value) -> NetworkPolicy {
        network_policy(
            name,
            serde_json::json!({"podSelector": {"matchLabels": {"app": "chat"}}, "ingress": [{"ports": ports}]}),
        )
    }

    #[test]
    fn the_old_number_without_the_new_is_reported() {
        let table = [
            ("the old number", serde_json::json!([{"port": 8000}]), 1),
            (
                "a range around it",
                serde_json::json!([{"port": 7000, "endPort": 8010}]),
                1,
            ),
            (
                "both numbers",
                serde_json::json!([{"port": 8000}, {"port": 8080}]),
                0,
            ),
            (
                "a range with both",
                serde_json::json!([{"port": 8000, "endPort": 8100}]),
                0,
            ),
            ("the name", serde_json::json!([{"port": "http"}]), 0),
            ("every port", serde_json::json!([]), 0),
            (
                "the name of the old one",
                serde_json::json!([{"port": "bh-app-http"}]),
                1,
            ),
            (
                "the old number of another protocol",
                serde_json::json!([{"port": 8000, "protocol": "UDP"}]),
                0,
            ),
            ("another port", serde_json::json!([{"port": 9000}]), 0),
        ];
        for (what, ports, expected) in table {
            let found = around(&taken(), &[&labels()], [&admitting("np", ports)]);
            assert_eq!(found.len(), expected, "{what}");
        }
    }

    #[test]
    fn policies_add_up() {
        let old = admitting("old", serde_json::json!([{"port": 8000}]));
        let new = admitting("new", serde_json::json!([{"port": 8080}]));
        assert!(around(&taken(), &[&labels()], [&old, &new]).is_empty());
        let found = around(&taken(), &[&labels(), &labels()], [&old]);
        assert_eq!(
            found.len(),
            1,
            "one policy is told of once, however many pods it is over"
        );
        assert_eq!(found[0].path, "spec.ingress[0].ports[0].port");
    }

    #[test]
    fn a_policy_for_other_pods_or_for_egress_does_not_count() {
        let other = network_policy(
            "other",
            serde_json::json!({
            "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["chat"]}]},
            "ingress": [{"ports": [{"port": 8000}]}]}),
        );
        let egress = network_policy(
            "egress",
            serde_json::json!({"podSelector": {}, "policyTypes": ["Egress"],
            "ingress": [{"ports": [{"port": 8000}]}]}),
        );
        assert!(around(&taken(), &[&labels()], [&other, &egress]).is_empty());
    }

    #[test]
    fn what_admits_a_port_that_is_to_be_closed_is_reported() {
        let first = Some("spec.ingress[0].ports[0].port");
        let second = Some("spec.ingress[0].ports[1].port");
        let all = Some("spec.ingress[0]");
        let table = [
            (
                "both numbers",
                serde_json::json!([{"port": 8000}, {"port": 8080}]),
                first,
            ),
            (
                "the name and the old number",
                serde_json::json!([{"port": "http"}, {"port": 8000}]),
                second,
            ),
            (
                "a range with both",
                serde_json::json!([{"port": 8000, "endPort": 8100}]),
                first,
            ),
            (
                "the name of the old one",
                serde_json::json!([{"port": "http"}, {"port": "bh-app-http"}]),
                second,
            ),
            ("every port", serde_json::json!([]), all),
            (
                "every port of TCP",
                serde_json::json!([{"protocol": "TCP"}]),
                first,
            ),
            (
                "every port of UDP",
                serde_json::json!([{"port": "http"}, {"protocol": "UDP"}]),
                None,
            ),
            ("the name", serde_json::json!([{"port": "http"}]), None),
            (
                "the sidecar's number",
                serde_json::json!([{"port": 8080}]),
                None,
            ),
        ];
        for (what, ports, expected) in table {
            let over = admitting("np", ports);
            let found = around(&closed(), &[&labels()], [&over]);
            let paths: Vec<_> = found.iter().map(|it| it.path.as_str()).collect();
            assert_eq!(paths, expected.into_iter().collect::<Vec<_>>(), "{what}");
        }
    }

    #[test]
    fn the_operator_s_own_is_nobody_s_fault_and_in_nobody_s_way() {
        let mut own = admitting("own", serde_json::json!([{"port": 8000}]));
        own.labels_mut().insert(OWNED.to_owned(), "true".to_owned());
        assert!(around(&closed(), &[&labels()], [&own]).is_empty());
        assert!(!is_over(&[&labels()], [&own]));
        let theirs = admitting("theirs", serde_json::json!([{"port": 8080}]));
        assert!(is_over(&[&labels()], [&own, &theirs]));
        assert!(!is_over(&[&BTreeMap::new()], [&theirs]));
    }

    #[test]
    fn one_over_some_of_the_pods_leaves_the_others_open() {
        let other = BTreeMap::from([("app".to_owned(), "worker".to_owned())]);
        let over = admitting("np", serde_json::json!([{"port": "http"}]));
        let found = around(&closed(), &[&labels(), &other], [&over]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "spec.podSelector");
        assert!(found[0].message.contains("8000"), "{}", found[0].message);
        assert!(around(&closed(), &[&labels()], [&over]).is_empty());
        assert!(around(&closed(), &[&other], [&over]).is_empty());
        assert!(around(&taken(), &[&labels(), &other], [&over]).is_empty());
    }
}
