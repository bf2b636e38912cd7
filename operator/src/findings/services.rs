//! Services: those that lead to the application's own port, and those that stand for an upstream and have more ports than the policy.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::conditions::DegradedReason;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::{Exposed, TakenOver, selects};
use crate::build::Serves;

/// Services that lead clients round the sidecar: by the number of a taken-over port, or, headless, to the pod's own address.
///
/// `pods` are the labels of the pods that the policy selects.
#[must_use]
pub fn around<'a>(
    taken: &[TakenOver],
    pods: &[&BTreeMap<String, String>],
    services: impl IntoIterator<Item = &'a Service>,
) -> Vec<Exposed> {
    if taken.is_empty() {
        return Vec::new();
    }
    services
        .into_iter()
        .filter(|service| leads_to(service, pods))
        .flat_map(|service| {
            let mut found = numeric(taken, service);
            found.extend(headless(taken, service));
            found
        })
        .collect()
}

/// Ports of Services that are an upstream of the policy, where no database of the policy has that port: through the host alias they end
/// at the sidecar, which does not listen there.
///
/// `domain` is the cluster's DNS domain.
#[must_use]
pub fn unlisted<'a>(
    policy: &EffectivePolicy,
    domain: &str,
    services: impl IntoIterator<Item = &'a Service>,
) -> Vec<Exposed> {
    let mut found = Vec::new();
    for service in services {
        let name = service.name_any();
        let namespace = service
            .namespace()
            .unwrap_or_else(|| policy.namespace.clone());
        let is_it = |host: &str| names_service(host, &name, &namespace, &policy.namespace, domain);
        let databases = Serves::THIS_RELEASE
            .databases(policy)
            .flat_map(|it| it.upstream.hosts())
            .filter(|it| is_it(&it.host));
        let covered: BTreeSet<i32> = databases.map(|it| it.port.into()).collect();
        if covered.is_empty() {
            continue;
        }
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        for (index, port) in ports.into_iter().flatten().enumerate() {
            if !covered.contains(&port.port) {
                found.push(Exposed {
                    reason: DegradedReason::UnlistedPort,
                    kind: "Service".to_owned(),
                    path: format!("spec.ports[{index}].port"),
                    message: format!(
                        "port {} of `{name}` has no entry among the databases that the sidecar serves, and to the selected pods `{name}` is the sidecar, which \
                         does not listen there: add an entry if a database is behind it, else give that port a Service of another name; or \
                         lead the application to the sidecar by `inject.env`, and `{name}` keeps its address",
                        port.port
                    ),
                    name: name.clone(),
                });
            }
        }
    }
    found
}

/// Whether a host name is a spelling of a Service, as pods of `of` write it.
fn names_service(host: &str, name: &str, namespace: &str, of: &str, domain: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let long = format!("{name}.{namespace}");
    host == long
        || host == format!("{long}.svc")
        || host == format!("{long}.svc.{domain}")
        || (namespace == of && host == name)
}

fn leads_to(service: &Service, pods: &[&BTreeMap<String, String>]) -> bool {
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| pods.iter().any(|labels| selects(selector, labels)))
}

fn numeric(taken: &[TakenOver], service: &Service) -> Vec<Exposed> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    let mut found = Vec::new();
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let Some(number) = target_number(port) else {
            continue;
        };
        for taken in taken.iter().filter(|it| it.application.contains(&number)) {
            found.push(Exposed {
                reason: DegradedReason::NumericService,
                kind: "Service".to_owned(),
                name: service.name_any(),
                path: format!("spec.ports[{index}].targetPort"),
                message: format!(
                    "targets the application's port {number} by its number, and so goes round the sidecar: write `targetPort: {}`",
                    taken.name
                ),
            });
        }
    }
    found
}

/// The number that a port of a Service targets; none where it targets a name.
fn target_number(port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        Some(IntOrString::Int(number)) if *number != 0 => Some(*number),
        Some(IntOrString::String(_)) => None,
        _ => Some(port.port),
    }
}

fn headless(taken: &[TakenOver], service: &Service) -> Option<Exposed> {
    let address = service.spec.as_ref()?.cluster_ip.as_deref()?;
    let open = taken.iter().flat_map(|it| {
        let numbers = it.application.iter();
        numbers.filter(|number| it.closed != Some(**number))
    });
    let numbers: BTreeSet<String> = open.map(i32::to_string).collect();
    let numbers: Vec<String> = numbers.into_iter().collect();
    (address == "None" && !numbers.is_empty()).then(|| Exposed {
        reason: DegradedReason::HeadlessService,
        kind: "Service".to_owned(),
        name: service.name_any(),
        path: "spec.clusterIP".to_owned(),
        message: format!(
            "is headless: its clients get the pods' addresses and choose the port themselves, and the application's own ({}) answers \
             there: have the application listen on 127.0.0.1, or bar that port by a NetworkPolicy",
            numbers.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{chat, closed, labels, policy, taken};
    use super::*;

    fn service(spec: serde_json::Value) -> Service {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "web"}, "spec": spec}))
            .unwrap()
    }

    #[test]
    fn a_service_goes_round_by_number_and_not_by_name() {
        let selector = serde_json::json!({"app": "chat"});
        let table = [
            (
                "by name",
                serde_json::json!([{"port": 80, "targetPort": "http"}]),
                None,
            ),
            (
                "by number",
                serde_json::json!([{"port": 80, "targetPort": 8000}]),
                Some("spec.ports[0].targetPort"),
            ),
            (
                "by the port itself",
                serde_json::json!([{"port": 8000}]),
                Some("spec.ports[0].targetPort"),
            ),
            (
                "a second one",
                serde_json::json!([{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8000}]),
                Some("spec.ports[1].targetPort"),
            ),
            (
                "the sidecar's number",
                serde_json::json!([{"port": 80, "targetPort": 8080}]),
                None,
            ),
            (
                "another port of the application",
                serde_json::json!([{"port": 9000}]),
                None,
            ),
        ];
        for (what, ports, expected) in table {
            let service = service(serde_json::json!({"selector": selector, "ports": ports}));
            let found = around(&taken(), &[&labels()], [&service]);
            let paths: Vec<_> = found.iter().map(|it| it.path.as_str()).collect();
            assert_eq!(paths, expected.into_iter().collect::<Vec<_>>(), "{what}");
            assert!(
                found
                    .iter()
                    .all(|it| it.reason == DegradedReason::NumericService)
            );
        }
    }

    #[test]
    fn a_service_of_other_pods_is_nobody_s_business() {
        let other =
            service(serde_json::json!({"selector": {"app": "other"}, "ports": [{"port": 8000}]}));
        let external = service(serde_json::json!({"ports": [{"port": 8000}]}));
        assert!(around(&taken(), &[&labels()], [&other, &external]).is_empty());
    }

    #[test]
    fn a_headless_service_hands_out_the_application_s_own_port() {
        let headless = service(
            serde_json::json!({"clusterIP": "None", "selector": {"app": "chat"},
            "ports": [{"port": 80, "targetPort": "http"}]}),
        );
        let found = around(&taken(), &[&labels()], [&headless]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].reason, DegradedReason::HeadlessService);
        assert!(found[0].message.contains("8000"), "{}", found[0].message);
        // A port that is closed to the network answers nobody.
        assert!(around(&closed(), &[&labels()], [&headless]).is_empty());
        // Where no port is taken over there is nothing to go round.
        assert!(around(&[], &[&labels()], [&headless]).is_empty());
    }

    #[test]
    fn a_port_of_an_upstream_s_service_that_no_database_has_is_reported() {
        let mut db = service(
            serde_json::json!({"ports": [{"name": "sql", "port": 5432}, {"name": "metrics", "port": 9187}]}),
        );
        db.metadata.name = Some("db".to_owned());
        let found = unlisted(&chat(), "cluster.local", [&db]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "spec.ports[1].port");
        assert!(found[0].message.contains("9187"));
    }

    #[test]
    fn every_spelling_of_a_service_s_name_is_that_service() {
        let mut db = service(serde_json::json!({"ports": [{"port": 9187}]}));
        db.metadata.name = Some("db".to_owned());
        for (host, namespace, expected) in [
            ("db", "shop", 1),
            ("DB.shop", "shop", 1),
            ("db.shop.svc", "shop", 1),
            ("db.shop.svc.cluster.local.", "shop", 1),
            ("db", "data", 0),
            ("db.data", "data", 1),
            ("db.data.svc.other.domain", "data", 0),
            ("other", "shop", 0),
        ] {
            let policy = policy(
                serde_json::json!({"selector": {"matchLabels": {"app": "chat"}},
                "identity": {"source": "SignedContext"},
                "databases": [{"name": "main", "protocol": "PostgreSQL", "upstream": {"host": host}}]}),
            );
            db.metadata.namespace = Some(namespace.to_owned());
            let found = unlisted(&policy, "cluster.local", [&db]);
            assert_eq!(found.len(), expected, "{host} in {namespace}");
        }
    }
}
