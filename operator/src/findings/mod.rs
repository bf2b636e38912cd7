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
use bulkhead_crds::kinds::RowLevelSecurity;
use bulkhead_crds::kinds::template::TakenPort;

use crate::build::{Serves, closes, taken};

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
    /// What the application's port is called from then on.
    pub renamed: String,
    /// The sidecar's port.
    pub sidecar: i32,
    /// The numbers at which the application itself listens.
    pub application: BTreeSet<i32>,
    /// The one of those from which clients are to be kept, by a generated NetworkPolicy where nobody else's does.
    pub closed: Option<i32>,
}

/// The ports that a policy takes over, with the numbers that `ports` (name to number, one map for each pod or workload) gives them.
#[must_use]
pub fn taken_over<'a>(
    policy: &EffectivePolicy,
    ports: impl IntoIterator<Item = &'a BTreeMap<String, i32>>,
    serves: Serves,
) -> Vec<TakenOver> {
    let ports: Vec<_> = ports.into_iter().collect();
    let taken = taken::ports(policy).into_iter();
    taken
        .map(|(socket, TakenPort { name, renamed })| {
            let of_pod = |ports: &&BTreeMap<String, i32>| {
                ports.get(&renamed).or_else(|| ports.get(&name)).copied()
            };
            let mut application: BTreeSet<i32> = ports.iter().filter_map(of_pod).collect();
            application.insert(socket.upstream_port.into());
            // In an injected pod the old name may be the sidecar's own port already.
            application.remove(&socket.port.into());
            TakenOver {
                name,
                renamed,
                sidecar: socket.port.into(),
                application,
                closed: closes(policy, serves).then(|| socket.upstream_port.into()),
            }
        })
        .collect()
}

/// The Secrets with which the databases that the sidecar serves are reached. Those of another database are the application's own business:
/// it has to reach that one by itself.
#[must_use]
pub fn credentials(policy: &EffectivePolicy, serves: Serves) -> BTreeSet<&str> {
    let served = serves.databases(policy);
    let secrets = served.filter_map(|database| database.upstream.credentials_secret_ref.as_ref());
    secrets.map(|secret| secret.name.as_str()).collect()
}

/// The Secrets with which the sidecar proves to the databases that it serves who its users are.
#[must_use]
pub fn signing_keys(policy: &EffectivePolicy, serves: Serves) -> BTreeSet<&str> {
    let served = serves.databases(policy);
    let signed = served.filter(|one| one.row_level_security == RowLevelSecurity::Signed);
    let secrets = signed.filter_map(|database| database.signing_key_secret_ref.as_ref());
    secrets.map(|secret| secret.name.as_str()).collect()
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

    /// The databases `main` and `cache`, and one WebSocket listener that takes `http` over.
    pub(crate) fn chat() -> EffectivePolicy {
        policy(serde_json::json!({
            "selector": {"matchLabels": {"app": "chat"}},
            "identity": {"source": "SignedContext"},
            "databases": [
                {"name": "main", "protocol": "PostgreSQL", "upstream": {"host": "db", "port": 5432, "credentialsSecretRef": {"name": "chat-db"}},
                 "session": {"rowLevelSecurity": "Signed", "signingKeySecretRef": {"name": "chat-signing"}}},
                {"name": "cache", "protocol": "Redis", "upstream": {"host": "cache", "credentialsSecretRef": {"name": "chat-cache"}}}],
            "webSockets": [{"name": "chat", "listen": {"port": 8080, "takesOver": "http"}, "upstream": {"port": 8000}}]
        }))
    }

    /// The labels of the pods that it selects.
    pub(crate) fn labels() -> BTreeMap<String, String> {
        BTreeMap::from([("app".to_owned(), "chat".to_owned())])
    }

    /// What it takes over of a pod whose `http` is port 8000, in a release whose networks nobody closes.
    pub(crate) fn taken() -> Vec<TakenOver> {
        let ports = BTreeMap::from([("http".to_owned(), 8000)]);
        let mut taken = taken_over(&chat(), [&ports], Serves::THIS_RELEASE);
        taken.iter_mut().for_each(|it| it.closed = None);
        taken
    }

    /// The same, where clients are to be kept from it.
    pub(crate) fn closed() -> Vec<TakenOver> {
        let mut taken = taken();
        taken.iter_mut().for_each(|it| it.closed = Some(8000));
        taken
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_crds::kinds::Protocol;

    use super::*;

    #[test]
    fn a_taken_over_port_keeps_the_application_s_number() {
        let before = BTreeMap::from([("http".to_owned(), 8001)]);
        let after = BTreeMap::from([("bh-app-http".to_owned(), 8002), ("http".to_owned(), 8080)]);
        let taken = taken_over(&fixtures::chat(), [&before, &after], Serves::THIS_RELEASE);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].sidecar, 8080);
        assert_eq!(taken[0].application, BTreeSet::from([8000, 8001, 8002]));
    }

    #[test]
    fn two_long_names_are_told_apart_as_the_template_does() {
        let policy = fixtures::policy(serde_json::json!({
            "selector": {}, "identity": {"source": "Trusted"}, "webSockets": [
                {"name": "a", "listen": {"port": 8080, "takesOver": "websocket-open"}, "upstream": {"port": 8000}},
                {"name": "b", "listen": {"port": 8081, "takesOver": "websocket-shut"}, "upstream": {"port": 8001}}]
        }));
        let injected = [
            ("bh-app-websocke", 8002),
            ("bh-app-webso-2", 8003),
            ("websocket-open", 8080),
            ("websocket-shut", 8081),
        ];
        let injected = injected
            .map(|(name, number)| (name.to_owned(), number))
            .into();
        let taken = taken_over(&policy, [&injected], Serves::THIS_RELEASE);
        let found: Vec<_> = taken
            .iter()
            .map(|it| (it.renamed.as_str(), &it.application))
            .collect();
        let (open, shut) = (BTreeSet::from([8000, 8002]), BTreeSet::from([8001, 8003]));
        assert_eq!(
            found,
            [("bh-app-websocke", &open), ("bh-app-webso-2", &shut)]
        );
    }

    #[test]
    fn a_database_that_the_sidecar_does_not_serve_is_reached_with_the_application_s_own_credentials()
     {
        let policy = fixtures::policy(serde_json::json!({
            "selector": {}, "identity": {"source": "SignedContext"}, "databases": [
                {"name": "main", "protocol": "PostgreSQL", "upstream": {"host": "db", "credentialsSecretRef": {"name": "main-db"}}},
                {"name": "open", "protocol": "PostgreSQL", "listen": {"port": 5433}, "upstream": {"host": "db"}},
                {"name": "events", "protocol": "ClickHouse", "upstream": {"host": "events", "credentialsSecretRef": {"name": "events"}}}]
        }));
        let without = Serves {
            protocols: &[Protocol::PostgreSQL],
            ..Serves::THIS_RELEASE
        };
        assert_eq!(credentials(&policy, without), BTreeSet::from(["main-db"]));
        let all = Serves {
            protocols: &[Protocol::PostgreSQL, Protocol::ClickHouse],
            ..Serves::THIS_RELEASE
        };
        assert_eq!(
            credentials(&policy, all),
            BTreeSet::from(["events", "main-db"])
        );
    }

    #[test]
    fn a_service_without_a_selector_selects_nothing() {
        assert!(!selects(&BTreeMap::new(), &fixtures::labels()));
        assert!(selects(&fixtures::labels(), &fixtures::labels()));
    }
}
