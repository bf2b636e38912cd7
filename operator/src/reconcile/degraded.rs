//! The ways round a policy that are open, from what is known of its pods and of what stands in front of them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::conditions::{DegradedReason, SkippedReason};
use bulkhead_crds::kinds::Mode;

use super::judge::listed;
use super::programmed::Force;
use crate::build::Serves;
use crate::findings::{self, TakenOver};
use crate::index::{Index, PodFacts};

/// One way round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WayRound {
    /// Which one.
    pub reason: DegradedReason,
    /// Where it is, and how to close it.
    pub message: String,
}

impl From<findings::Exposed> for WayRound {
    fn from(found: findings::Exposed) -> Self {
        Self {
            reason: found.reason,
            message: format!(
                "{} {}, {}: {}",
                found.kind, found.name, found.path, found.message
            ),
        }
    }
}

/// The ways round a policy that other objects of its namespace open: Services, NetworkPolicies and LimitRanges.
#[must_use]
pub fn of_surroundings(
    policy: &EffectivePolicy,
    force: &Force<'_>,
    index: &Index,
    cluster_domain: &str,
) -> Vec<WayRound> {
    let pods: Vec<&PodFacts> = index.pods.values().filter(|pod| force.has(pod)).collect();
    let labels: Vec<_> = pods.iter().map(|pod| &pod.labels).collect();
    let template = index.templates.get(force.policy);
    let taken = taken_over(policy, force, index, &pods);
    let mut found = findings::services::around(&taken, &labels, index.services.values());
    found.extend(findings::services::unlisted(
        policy,
        cluster_domain,
        index.services.values(),
    ));
    found.extend(findings::network_policies::around(
        &taken,
        &labels,
        index.network_policies.values(),
    ));
    if let Some(template) = template {
        found.extend(findings::limits::around(
            &template.spec.sidecar.resources,
            index.limit_ranges.values(),
        ));
    }
    found.into_iter().map(WayRound::from).collect()
}

/// What is told where the API server does not take the NetworkPolicy that closes the application's own port, and says this.
#[must_use]
pub fn unclosed(said: &str) -> WayRound {
    WayRound {
        reason: DegradedReason::NetworkPolicy,
        message: format!(
            "the API server does not take the NetworkPolicy that would close the application's own port, which therefore answers past the sidecar: {said}; let it be made, or write `injection: {{networkPolicy: None}}` and have the application listen on 127.0.0.1"
        ),
    }
}

/// The ways round a policy that its pods themselves open.
#[must_use]
pub fn of_pods(policy: &EffectivePolicy, force: &Force<'_>, index: &Index) -> Vec<WayRound> {
    let pods: Vec<&PodFacts> = index.pods.values().filter(|pod| force.has(pod)).collect();
    let mut found = Vec::new();
    let mut add = |reason, message| found.push(WayRound { reason, message });
    let without = |wanted: &dyn Fn(SkippedReason) -> bool| -> Vec<String> {
        let bare = pods.iter().filter(|pod| !pod.is_injected_by(force.policy));
        bare.filter(|pod| wanted(force.skipped(pod)))
            .map(|pod| pod.name.clone())
            .collect()
    };
    let host = without(&|reason| reason == SkippedReason::HostNetwork);
    if !host.is_empty() {
        add(
            DegradedReason::HostNetwork,
            format!(
                "pods use their node's network, where no sidecar can stand in front of them: {}; set hostNetwork: false, or take them out of the selector",
                listed(&host, ", ")
            ),
        );
    }
    let bare =
        without(&|reason| !matches!(reason, SkippedReason::HostNetwork | SkippedReason::OptedOut));
    if policy.mode == Mode::Enforce && !bare.is_empty() {
        add(
            DegradedReason::UninjectedPods,
            format!(
                "pods run without the sidecar: {}; status.pods.skipped says why, and Programmed what to do",
                listed(&bare, ", ")
            ),
        );
    }
    if let Some(message) = shared_credentials(policy, &pods) {
        add(DegradedReason::CredentialsShared, message);
    }
    let ports = host_ports(&taken_over(policy, force, index, &pods), &pods);
    if !ports.is_empty() {
        add(
            DegradedReason::HostPort,
            format!(
                "taken-over ports are open on the node, past the sidecar: {}; remove their hostPort",
                listed(&ports, ", ")
            ),
        );
    }
    let timeouts: BTreeSet<String> = pods
        .iter()
        .flat_map(|pod| pod.timeouts.iter().cloned())
        .collect();
    if !timeouts.is_empty() {
        let timeouts: Vec<String> = timeouts.into_iter().collect();
        add(
            DegradedReason::ApplicationTimeouts,
            format!(
                "environment variables set timeouts beside the policy's, and the shorter one wins unseen: {}; remove them",
                listed(&timeouts, ", ")
            ),
        );
    }
    found
}

/// Credentials of an upstream that a container other than the sidecar has.
fn shared_credentials(policy: &EffectivePolicy, pods: &[&PodFacts]) -> Option<String> {
    let credentials = findings::credentials(policy, Serves::THIS_RELEASE);
    let mut shared: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for pod in pods {
        for secret in &pod.secrets {
            if credentials.contains(secret.as_str()) {
                shared.entry(secret).or_default().push(pod.name.clone());
            }
        }
    }
    if shared.is_empty() {
        return None;
    }
    let told: Vec<String> = shared
        .iter()
        .map(|(secret, pods)| format!("Secret {secret} in {}", listed(pods, ", ")))
        .collect();
    Some(format!(
        "the application's containers have the upstream's credentials and can dial it themselves: {}; remove the Secret from them, the sidecar brings it",
        told.join("; ")
    ))
}

/// The ports that the sidecar takes over in these pods. What this release does not take over is where it always was.
fn taken_over(
    policy: &EffectivePolicy,
    force: &Force<'_>,
    index: &Index,
    pods: &[&PodFacts],
) -> Vec<TakenOver> {
    let template = index.templates.get(force.policy);
    let takes = template.and_then(|template| template.spec.take_ports.as_ref());
    let mut taken = findings::taken_over(
        policy,
        pods.iter().map(|pod| &pod.ports),
        Serves::THIS_RELEASE,
    );
    taken.retain(|port| {
        takes
            .iter()
            .copied()
            .flatten()
            .any(|one| one.name == port.name)
    });
    taken
}

fn host_ports(taken: &[TakenOver], pods: &[&PodFacts]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for pod in pods {
        for port in &pod.host_ports {
            if taken.iter().any(|taken| port.is(taken)) {
                found.insert(format!("{} of {}", port.host, pod.name));
            }
        }
    }
    found.into_iter().collect()
}

/// What a condition says of the ways round: the gravest one's reason, and each one's message.
#[must_use]
pub fn condition(mut exposed: Vec<WayRound>) -> (DegradedReason, String) {
    exposed.sort();
    let Some(first) = exposed.first() else {
        return (
            DegradedReason::NoWayAround,
            "no way round the policy is known".to_owned(),
        );
    };
    let reason = first.reason;
    let messages: Vec<String> = exposed
        .iter()
        .map(|one| format!("{}: {}", one.reason, one.message))
        .collect();
    (reason, messages.join("\n"))
}

#[cfg(test)]
mod tests {
    use bulkhead_crds::kinds::{InjectionTemplate, IsolationPolicy, OptOut, Selector};

    use super::*;
    use crate::build;
    use crate::findings::application::HostPort;
    use crate::index::facts::InjectedFrom;
    use crate::index::{Change, Step};

    fn policy() -> EffectivePolicy {
        let policy = bulkhead_crds::load(
            "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: chat}\n\
             spec:\n  selector: {}\n  identity: {source: Trusted}\n  databases:\n\
             \x20 - {name: main, protocol: PostgreSQL, listen: {auth: {mode: Trust}}, upstream: {host: db, credentialsSecretRef: {name: db}}}\n\
             \x20 - {name: cache, protocol: Redis, listen: {auth: {mode: Trust}}, upstream: {host: cache, credentialsSecretRef: {name: other}}}\n\
             \x20 webSockets:\n  - {name: ws, listen: {takesOver: http}, upstream: {port: 8000}}\n",
        )
        .unwrap();
        bulkhead_crds::resolve(&policy, "staging").unwrap()
    }

    /// The policy's template, of a release that takes ports over.
    fn template() -> InjectionTemplate {
        let effective = policy();
        let policy = IsolationPolicy::new(
            "chat",
            serde_json::from_value(serde_json::json!({
            "selector": {}, "identity": {"source": "Trusted"}}))
            .unwrap(),
        );
        build::template(&build::Rendering {
            policy: &policy,
            effective: &effective,
            excluding: &[],
            previous: None,
            sidecar: &build::SidecarImage {
                image: "example.test/sidecar:1".to_owned(),
                pull_policy: None,
                run_as_user: None,
                run_as_group: None,
                cluster_domain: "cluster.local".to_owned(),
            },
            serves: build::Serves {
                web_sockets: true,
                ..build::Serves::THIS_RELEASE
            },
        })
    }

    fn found(pod: PodFacts) -> Vec<DegradedReason> {
        let selector = Selector::default();
        let force = Force {
            policy: "chat",
            namespace: "prod",
            selector: &selector,
            excluding: &[],
            created: 0,
            opt_out: OptOut::Allowed,
            template: "t",
            revision: "r",
        };
        let mut index = Index::default();
        index.take(Change::Pod(Box::new(Step::Applied(pod.name.clone(), pod))));
        let template = template();
        index.take(Change::Template(Box::new(Step::Applied(
            "chat".to_owned(),
            template,
        ))));
        let exposed = of_pods(&policy(), &force, &index);
        exposed.iter().map(|one| one.reason).collect()
    }

    fn injected() -> PodFacts {
        PodFacts {
            name: "web".to_owned(),
            has_container: true,
            is_living: true,
            injected: InjectedFrom::read("chat@t"),
            ..PodFacts::default()
        }
    }

    #[test]
    fn each_way_round_that_a_pod_opens_is_found() {
        assert_eq!(found(injected()), []);
        let bare = PodFacts {
            has_container: false,
            injected: None,
            ..injected()
        };
        assert_eq!(found(bare.clone()), [DegradedReason::UninjectedPods]);
        assert_eq!(
            found(PodFacts {
                opts_out: true,
                ..bare.clone()
            }),
            []
        );
        assert_eq!(
            found(PodFacts {
                host_network: true,
                ..bare
            }),
            [DegradedReason::HostNetwork]
        );
        let secrets = BTreeSet::from(["db".to_owned(), "other".to_owned()]);
        assert_eq!(
            found(PodFacts {
                secrets,
                ..injected()
            }),
            [DegradedReason::CredentialsShared]
        );
        let timeouts = vec!["app/PGCONNECT_TIMEOUT".to_owned()];
        assert_eq!(
            found(PodFacts {
                timeouts,
                ..injected()
            }),
            [DegradedReason::ApplicationTimeouts]
        );
        for (name, container, expected) in [
            ("bh-app-http", 8000, 1),
            ("http", 8000, 1),
            ("", 8000, 1),
            ("metrics", 9000, 0),
        ] {
            let host_ports = vec![HostPort {
                index: 0,
                name: name.to_owned(),
                container,
                host: 80,
            }];
            assert_eq!(
                found(PodFacts {
                    host_ports,
                    ..injected()
                })
                .len(),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn the_gravest_gives_the_reason_and_all_give_the_message() {
        let of = |reason| WayRound {
            reason,
            message: "x".to_owned(),
        };
        let (reason, message) = condition(vec![
            of(DegradedReason::ApplicationTimeouts),
            of(DegradedReason::UninjectedPods),
        ]);
        assert_eq!(reason, DegradedReason::UninjectedPods);
        assert!(message.contains("ApplicationTimeouts: x"));
        assert_eq!(condition(Vec::new()).0, DegradedReason::NoWayAround);
    }
}
