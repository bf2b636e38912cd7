//! NetworkPolicies that still admit the application's port, and not the sidecar's that took its place.

use std::collections::BTreeMap;

use bulkhead_crds::conditions::DegradedReason;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::{Exposed, TakenOver};

/// NetworkPolicies that admit a taken-over port of the application by its number, where none of those that select the pod admits the
/// sidecar's: its clients are shut out, and what they may still reach is the application itself.
///
/// `pods` are the labels of the pods that the policy selects.
#[must_use]
pub fn stale<'a>(
    taken: &[TakenOver],
    pods: &[&BTreeMap<String, String>],
    policies: impl IntoIterator<Item = &'a NetworkPolicy>,
) -> Vec<Exposed> {
    let policies: Vec<&NetworkPolicy> =
        policies.into_iter().filter(|it| bars_ingress(it)).collect();
    let mut found: Vec<Exposed> = Vec::new();
    for labels in pods {
        let over: Vec<_> = policies
            .iter()
            .filter(|policy| selected(policy, labels))
            .collect();
        for taken in taken {
            // Policies add up: one that admits the sidecar's port is enough.
            if over.iter().any(|policy| admits_sidecar(policy, taken)) {
                continue;
            }
            for policy in &over {
                let exposed = admitted(policy, taken).map(|path| Exposed {
                    reason: DegradedReason::NetworkPolicy,
                    kind: "NetworkPolicy".to_owned(),
                    name: policy.name_any(),
                    path,
                    message: format!(
                        "admits the application's port by its number and not port {} of the sidecar, which took its place: write \
                         `port: {}`, which follows the name",
                        taken.sidecar, taken.name
                    ),
                });
                found.extend(exposed.filter(|it| !found.contains(it)));
            }
        }
    }
    found
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
    rules(policy).any(|(_, ports)| {
        ports.is_empty()
            || ports.iter().any(|port| match &port.port {
                None => true,
                Some(IntOrString::String(name)) => *name == taken.name,
                Some(IntOrString::Int(first)) => covers(*first, port.end_port, taken.sidecar),
            })
    })
}

/// The path of the first port by which a policy admits the application's own.
fn admitted(policy: &NetworkPolicy, taken: &TakenOver) -> Option<String> {
    rules(policy).find_map(|(rule, ports)| {
        let at = ports.iter().position(|port| match port.port {
            Some(IntOrString::Int(first)) => taken
                .application
                .iter()
                .any(|number| covers(first, port.end_port, *number)),
            _ => false,
        })?;
        Some(format!("spec.ingress[{rule}].ports[{at}].port"))
    })
}

fn covers(first: i32, last: Option<i32>, number: i32) -> bool {
    (first..=last.unwrap_or(first)).contains(&number)
}

/// The rules for TCP, with their positions; no ports at all are all of them.
fn rules(policy: &NetworkPolicy) -> impl Iterator<Item = (usize, &[NetworkPolicyPort])> {
    let rules = policy.spec.as_ref().and_then(|spec| spec.ingress.as_ref());
    rules
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, rule)| (index, rule.ports.as_deref().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{labels, taken};
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
            ("another port", serde_json::json!([{"port": 9000}]), 0),
        ];
        for (what, ports, expected) in table {
            let found = stale(&taken(), &[&labels()], [&admitting("np", ports)]);
            assert_eq!(found.len(), expected, "{what}");
        }
    }

    #[test]
    fn policies_add_up() {
        let old = admitting("old", serde_json::json!([{"port": 8000}]));
        let new = admitting("new", serde_json::json!([{"port": 8080}]));
        assert!(stale(&taken(), &[&labels()], [&old, &new]).is_empty());
        let found = stale(&taken(), &[&labels(), &labels()], [&old]);
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
        assert!(stale(&taken(), &[&labels()], [&other, &egress]).is_empty());
    }
}
