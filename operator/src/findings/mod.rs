//! Ways round a policy: what lets traffic reach the application or its database without the sidecar.
//!
//! Pure functions over objects of Kubernetes, one file a kind of object. The reconciler calls them for a policy's status, and `lint` for
//! files, so that both say the same. What does not live here: fetching objects, and deciding what comes of a finding.

pub mod application;
pub mod limits;
pub mod network_policies;
pub mod services;
pub mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::conditions::DegradedReason;

/// One way round a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Which kind of way it is.
    pub reason: DegradedReason,
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The field of the object that opens the way.
    pub path: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// A port of the application that the sidecar takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// The container port's name, which moves to the sidecar.
    pub name: String,
    /// The sidecar's port.
    pub sidecar: i32,
    /// The numbers at which the application itself listens.
    pub application: BTreeSet<i32>,
}

/// The prefix of the name that a taken-over port entry has in an injected pod.
const RENAMED: &str = "bh-app-";
/// The longest name of a container port.
const PORT_NAME: usize = 15;

/// The name that a port entry of the application has once the sidecar has taken its name over.
#[must_use]
pub fn renamed(name: &str) -> String {
    let whole = format!("{RENAMED}{name}");
    let cut: String = whole.chars().take(PORT_NAME).collect();
    cut.trim_end_matches('-').to_owned()
}

/// The ports that a policy takes over, with the numbers that `ports` (name to number, one map for each pod or workload) gives them.
#[must_use]
pub fn taken_over<'a>(
    policy: &EffectivePolicy,
    ports: impl IntoIterator<Item = &'a BTreeMap<String, i32>>,
) -> Vec<TakenOver> {
    let ports: Vec<_> = ports.into_iter().collect();
    let sockets = policy.web_sockets.iter();
    sockets
        .filter_map(|socket| {
            let name = socket.takes_over.clone()?;
            let moved = renamed(&name);
            let of_pod = |ports: &&BTreeMap<String, i32>| {
                ports.get(&moved).or_else(|| ports.get(&name)).copied()
            };
            let mut application: BTreeSet<i32> = ports.iter().filter_map(of_pod).collect();
            application.insert(socket.upstream_port.into());
            // In an injected pod the old name may be the sidecar's own port already.
            application.remove(&socket.port.into());
            Some(TakenOver {
                name,
                sidecar: socket.port.into(),
                application,
            })
        })
        .collect()
}

/// Whether a selector by equality selects these labels. Kubernetes' Services select nothing with an empty one.
pub(crate) fn selects(
    selector: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> bool {
    !selector.is_empty()
        && selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
pub(crate) mod fixtures {
    use super::*;

    /// The effective policy of a spec.
    pub(crate) fn policy(spec: serde_json::Value) -> EffectivePolicy {
        let text = serde_json::json!({
            "apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy",
            "metadata": {"name": "chat", "namespace": "shop"}, "spec": spec
        });
        let policy = bulkhead_crds::load(&text.to_string()).unwrap();
        bulkhead_crds::resolve(&policy, "staging").unwrap()
    }

    /// One database `main` and one WebSocket listener that takes `http` over.
    pub(crate) fn chat() -> EffectivePolicy {
        policy(serde_json::json!({
            "selector": {"matchLabels": {"app": "chat"}},
            "identity": {"source": "SignedContext"},
            "databases": [{"name": "main", "protocol": "PostgreSQL",
                "upstream": {"host": "db", "port": 5432, "credentialsSecretRef": {"name": "chat-db"}}}],
            "webSockets": [{"name": "chat", "listen": {"port": 8080, "takesOver": "http"}, "upstream": {"port": 8000}}]
        }))
    }

    /// The labels of the pods that it selects.
    pub(crate) fn labels() -> BTreeMap<String, String> {
        BTreeMap::from([("app".to_owned(), "chat".to_owned())])
    }

    /// What it takes over of a pod whose `http` is port 8000.
    pub(crate) fn taken() -> Vec<TakenOver> {
        taken_over(&chat(), [&BTreeMap::from([("http".to_owned(), 8000)])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_over_port_keeps_the_application_s_number() {
        let before = BTreeMap::from([("http".to_owned(), 8001)]);
        let after = BTreeMap::from([("bh-app-http".to_owned(), 8002), ("http".to_owned(), 8080)]);
        let taken = taken_over(&fixtures::chat(), [&before, &after]);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].sidecar, 8080);
        assert_eq!(taken[0].application, BTreeSet::from([8000, 8001, 8002]));
    }

    #[test]
    fn a_renamed_port_fits_into_fifteen_letters() {
        assert_eq!(renamed("http"), "bh-app-http");
        assert_eq!(renamed("websocket-public"), "bh-app-websocke");
        assert_eq!(renamed("abcdefg-x"), "bh-app-abcdefg");
    }

    #[test]
    fn a_service_without_a_selector_selects_nothing() {
        assert!(!selects(&BTreeMap::new(), &fixtures::labels()));
        assert!(selects(&fixtures::labels(), &fixtures::labels()));
    }
}
