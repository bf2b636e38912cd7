//! The NetworkPolicy that keeps clients from the ports that the sidecar has taken over.
//!
//! A NetworkPolicy can only say what comes in, so it says: everything but those. Whoever is over the same pods beside it adds to it, and it
//! to them; so it is not made where somebody else's is over them (`reconcile::closing` sees to that).

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::kinds::{Mode, PortClosing};
use bulkhead_crds::names::objects;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Serves, taken};

/// The last port there is.
const LAST: u16 = u16::MAX;

/// Whether the application's own port is to be closed to the network, where the sidecar has taken its name over. In Audit nothing is
/// refused.
#[must_use]
pub fn closes(policy: &EffectivePolicy, serves: Serves) -> bool {
    serves.web_sockets
        && policy.mode == Mode::Enforce
        && policy.network_policy == Some(PortClosing::Generate)
}

/// The NetworkPolicy of a policy, for the pods that bear its mark; none where there is nothing to close.
#[must_use]
pub fn network_policy(policy: &EffectivePolicy, serves: Serves) -> Option<NetworkPolicy> {
    let mark = taken::mark(policy).filter(|_| closes(policy, serves))?;
    let one = |key: &str, value: &str| Some([(key.to_owned(), value.to_owned())].into());
    Some(NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(objects::network_policy(&policy.name, &mark)),
            namespace: Some(policy.namespace.clone()),
            labels: one(objects::OWNED, "true"),
            annotations: one(objects::POLICY, &policy.name),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: one(objects::TAKEN_OVER, &mark),
                match_expressions: None,
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: None,
                ports: Some(admitted(policy)),
            }]),
            egress: None,
        }),
    })
}

/// Every port of every protocol, but those that are taken over.
fn admitted(policy: &EffectivePolicy) -> Vec<NetworkPolicyPort> {
    // A network that knows no ranges takes the first port of each: the sidecar's own must come in all the same.
    let listeners = policy.web_sockets.iter().map(|socket| socket.port);
    let peers = policy.resumes().then_some(objects::PEER_PORT);
    let own = std::iter::once(objects::ADMIN_PORT)
        .chain(peers)
        .chain(listeners);
    let mut ports: Vec<_> = own.map(|port| range("TCP", port, port)).collect();
    let mut first = 1;
    for number in taken::numbers(policy) {
        if first < number {
            ports.push(range("TCP", first, number - 1));
        }
        first = number.saturating_add(1);
    }
    if first > 1 && !taken::numbers(policy).contains(&LAST) {
        ports.push(range("TCP", first, LAST));
    }
    ports.extend(["UDP", "SCTP"].map(|protocol| range(protocol, 1, LAST)));
    ports
}

fn range(protocol: &str, first: u16, last: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(first.into())),
        end_port: (last != first).then(|| last.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SERVING: Serves = Serves {
        web_sockets: true,
        ..Serves::THIS_RELEASE
    };
    const SILENT: Serves = Serves {
        web_sockets: false,
        ..Serves::THIS_RELEASE
    };

    /// The policy `chat` of namespace `shop`, with these fields besides and listeners in front of these ports of the application.
    fn policy(fields: Value, upstreams: &[u16]) -> EffectivePolicy {
        let sockets: Vec<_> = (8080..)
            .zip(upstreams)
            .map(|(port, upstream)| {
                json!({"name": format!("s{port}"), "listen": {"port": port, "takesOver": format!("p{port}")}, "upstream": {"port": upstream}})
            })
            .collect();
        let mut spec = json!({"selector": {"matchLabels": {"app": "chat"}}, "identity": {"source": "Trusted"}, "webSockets": sockets});
        for (field, value) in fields.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let text = json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy",
            "metadata": {"name": "chat", "namespace": "shop", "labels": {"team": "a"}}, "spec": spec});
        let policy = bulkhead_crds::load(&text.to_string()).unwrap();
        bulkhead_crds::resolve(&policy, "staging").unwrap()
    }

    /// The TCP ports that are admitted, as `FIRST-LAST`, but for the sidecar's own, which are always there.
    fn ranges(policy: &EffectivePolicy) -> Vec<String> {
        let admitted = admitted(policy);
        let tcp = admitted
            .iter()
            .filter(|port| port.protocol.as_deref() == Some("TCP"));
        tcp.skip(1 + usize::from(policy.resumes()) + policy.web_sockets.len())
            .map(|port| {
                let Some(IntOrString::Int(first)) = port.port else {
                    panic!("{port:?}")
                };
                format!("{first}-{}", port.end_port.unwrap_or(first))
            })
            .collect()
    }

    #[test]
    fn it_is_for_pods_with_the_mark_and_admits_everything_but_the_port_behind_the_name() {
        let policy = policy(json!({}), &[8000]);
        let mark = taken::mark(&policy).unwrap();
        let rendered = serde_json::to_value(network_policy(&policy, SERVING)).unwrap();
        assert_eq!(
            rendered,
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": format!("bulkhead-chat-{mark}"), "namespace": "shop",
                    "labels": {"bulkhead.dev/owned": "true"}, "annotations": {"bulkhead.dev/policy": "chat"}},
                "spec": {
                    "podSelector": {"matchLabels": {"bulkhead.dev/taken-over": mark}},
                    "policyTypes": ["Ingress"],
                    "ingress": [{"ports": [
                        {"protocol": "TCP", "port": 9432},
                        {"protocol": "TCP", "port": 9433},
                        {"protocol": "TCP", "port": 8080},
                        {"protocol": "TCP", "port": 1, "endPort": 7999},
                        {"protocol": "TCP", "port": 8001, "endPort": 65535},
                        {"protocol": "UDP", "port": 1, "endPort": 65535},
                        {"protocol": "SCTP", "port": 1, "endPort": 65535},
                    ]}],
                },
            })
        );
    }

    #[test]
    fn every_port_but_those_is_in_exactly_one_range() {
        let table: [(&[u16], &[&str]); 6] = [
            (&[1], &["2-65535"]),
            (&[2], &["1-1", "3-65535"]),
            (&[65535], &["1-65534"]),
            (&[8001, 8000], &["1-7999", "8002-65535"]),
            (&[8000, 8002], &["1-7999", "8001-8001", "8003-65535"]),
            (&[65534, 65535, 1], &["2-65533"]),
        ];
        for (upstreams, expected) in table {
            assert_eq!(
                ranges(&policy(json!({}), upstreams)),
                expected,
                "{upstreams:?}"
            );
        }
    }

    #[test]
    fn there_is_one_only_where_something_is_refused_and_somebody_asks_for_it() {
        let table = [
            ("as it is", json!({}), SERVING, true),
            (
                "asked for",
                json!({"injection": {"networkPolicy": "Generate"}}),
                SERVING,
                true,
            ),
            (
                "not asked for",
                json!({"injection": {"networkPolicy": "None"}}),
                SERVING,
                false,
            ),
            ("in Audit", json!({"mode": "Audit"}), SERVING, false),
            (
                "in Audit here",
                json!({"environments": [{"name": "staging", "mode": "Audit"}]}),
                SERVING,
                false,
            ),
            ("where nobody stands in front", json!({}), SILENT, false),
            (
                "where nothing is taken over",
                json!({"webSockets": [{"name": "chat", "listen": {"port": 8080}, "upstream": {"port": 8000}}]}),
                SERVING,
                false,
            ),
        ];
        for (what, fields, serves, expected) in table {
            let rendered = network_policy(&policy(fields, &[8000]), serves);
            assert_eq!(rendered.is_some(), expected, "{what}");
        }
    }
}
