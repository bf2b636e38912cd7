//! A namespace's policies, and what comes of them.

use super::*;
use crate::index::{Change, PodFacts, Step};

/// A namespace in which everything is in order.
struct World {
    labels: BTreeMap<String, String>,
    is_excluded: bool,
    secrets: Secrets,
    index: Index,
}

fn world() -> World {
    World {
        labels: labels(&[(INJECTION, ENABLED), (ENVIRONMENT, "staging")]),
        is_excluded: false,
        secrets: Secrets::new(),
        index: Index::default(),
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

impl World {
    fn judge(&self, policies: &[Arc<IsolationPolicy>]) -> Vec<Verdict> {
        let barred = Barred {
            api_server: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            allowed: Vec::new(),
        };
        let around = Circumstances {
            namespace: "chat",
            labels: &self.labels,
            is_excluded: self.is_excluded,
            default_environment: "development",
            barred: &barred,
            secrets: &self.secrets,
            index: &self.index,
        };
        judge(policies, &around)
    }

    fn with_pod(mut self, name: &str, pairs: &[(&str, &str)], address: &str) -> Self {
        let facts = PodFacts {
            name: name.to_owned(),
            labels: labels(pairs),
            is_living: true,
            addresses: vec![address.parse().unwrap()],
            ..PodFacts::default()
        };
        self.index
            .take(Change::Pod(Box::new(Step::Applied(name.to_owned(), facts))));
        self
    }
}

/// A policy of this age (the higher the younger), with more of a spec.
fn policy(name: &str, age: u32, selector: &str, more: &str) -> Arc<IsolationPolicy> {
    let text = format!(
        "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\n\
         metadata: {{name: {name}, namespace: chat, creationTimestamp: \"2026-01-01T00:00:{age:02}Z\"}}\n\
         spec:\n  selector: {selector}\n  identity: {{source: Trusted}}\n{more}"
    );
    Arc::new(serde_yaml::from_str(&text).unwrap())
}

fn database(upstream: &str) -> String {
    format!(
        "  databases:\n  - {{name: main, protocol: PostgreSQL, listen: {{auth: {{mode: Trust}}}}, upstream: {{{upstream}}}}}\n"
    )
}

const WEB: &str = "{matchLabels: {app: web}}";

#[test]
fn a_sound_policy_in_a_labelled_namespace_is_accepted_for_its_environment() {
    let verdicts = world().judge(&[policy("chat", 1, WEB, &database("host: db"))]);
    assert_eq!(
        verdicts[0].reason,
        AcceptedReason::Accepted,
        "{}",
        verdicts[0].message
    );
    let effective = verdicts[0].effective.as_ref().unwrap();
    assert_eq!(effective.environment, "staging");
}

#[test]
fn a_namespace_without_an_environment_has_the_default_one() {
    let mut world = world();
    world.labels.remove(ENVIRONMENT);
    let verdicts = world.judge(&[policy("chat", 1, WEB, "")]);
    assert_eq!(verdicts[0].environment, "development");
}

#[test]
fn policies_have_no_effect_where_the_namespace_does_not_ask_for_them() {
    let mut unlabelled = world();
    unlabelled.labels.clear();
    let verdict = &unlabelled.judge(&[policy("chat", 1, WEB, "")])[0];
    assert_eq!(verdict.reason, AcceptedReason::NamespaceNotEnabled);
    assert!(
        verdict
            .message
            .contains("kubectl label namespace chat bulkhead.dev/injection=enabled")
    );
    assert!(!verdict.keeps());

    let mut own = world();
    own.is_excluded = true;
    let verdict = &own.judge(&[policy("chat", 1, WEB, "")])[0];
    assert_eq!(verdict.reason, AcceptedReason::NamespaceExcluded);
}

#[test]
fn what_got_past_the_webhook_is_found_and_what_was_in_force_stays() {
    let broken = "  databases:\n  - {name: main, protocol: PostgreSQL, listen: {auth: {mode: Trust}}, upstream: {host: db}, timeouts: {connect: 0s}}\n";
    let verdict = &world().judge(&[policy("chat", 1, WEB, broken)])[0];
    assert_eq!(verdict.reason, AcceptedReason::Invalid);
    assert!(
        verdict
            .message
            .contains("spec.databases[main].timeouts.connect"),
        "{}",
        verdict.message
    );
    assert!(verdict.keeps() && verdict.effective.is_none());
}

#[test]
fn the_oldest_of_two_equal_selectors_wins_whatever_their_order() {
    let young = policy(
        "a-young",
        2,
        "{matchLabels: {app: web}, matchExpressions: []}",
        "",
    );
    let old = policy("z-old", 1, WEB, "");
    for order in [[young.clone(), old.clone()], [old, young]] {
        let verdicts = world().judge(&order);
        assert_eq!(verdicts[0].name(), "z-old");
        assert_eq!(verdicts[0].reason, AcceptedReason::Accepted);
        assert_eq!(verdicts[1].reason, AcceptedReason::Conflicted);
        assert!(verdicts[1].message.contains("z-old"));
        assert!(!verdicts[1].keeps());
    }
}

#[test]
fn policies_of_the_same_moment_are_told_apart_by_name() {
    let verdicts = world().judge(&[policy("b", 1, WEB, ""), policy("a", 1, WEB, "")]);
    assert_eq!(
        (verdicts[0].name().as_str(), verdicts[1].reason),
        ("a", AcceptedReason::Conflicted)
    );
}

#[test]
fn a_pod_of_two_policies_is_the_older_ones_and_both_are_in_force() {
    let world = world().with_pod("web-1", &[("app", "web"), ("tier", "front")], "10.0.0.1");
    let verdicts = world.judge(&[
        policy("all-web", 1, WEB, ""),
        policy("fronts", 2, "{matchLabels: {tier: front}}", ""),
    ]);
    assert_eq!(verdicts[0].reason, AcceptedReason::Accepted);
    assert!(verdicts[0].excluding.is_empty());
    assert_eq!(verdicts[1].reason, AcceptedReason::PartiallyConflicted);
    assert!(verdicts[1].message.contains("all-web") && verdicts[1].message.contains("web-1"));
    assert_eq!(verdicts[1].excluding.len(), 1);
    assert!(verdicts[1].effective.is_some());
}

#[test]
fn a_policy_that_is_not_in_force_takes_no_pods_from_a_younger_one() {
    let broken = "  databases:\n  - {name: main, protocol: PostgreSQL, listen: {auth: {mode: Trust}}, upstream: {host: db}, timeouts: {connect: 0s}}\n";
    let verdicts = world().judge(&[
        policy("broken", 1, WEB, broken),
        policy("sound", 2, WEB, ""),
    ]);
    assert_eq!(verdicts[0].reason, AcceptedReason::Invalid);
    assert_eq!(verdicts[1].reason, AcceptedReason::Accepted);
    assert!(verdicts[1].excluding.is_empty());
}

#[test]
fn a_secret_has_to_be_there_and_to_allow_the_policy() {
    let named = policy(
        "chat",
        1,
        WEB,
        &database("host: db, credentialsSecretRef: {name: db}"),
    );
    let table = [
        (
            SecretFacts::Missing,
            AcceptedReason::SecretMissing,
            "create it",
        ),
        (
            SecretFacts::present(Some("other")),
            AcceptedReason::SecretNotAllowed,
            "kubectl annotate secret db -n chat bulkhead.dev/allow-policy=chat",
        ),
        (
            SecretFacts::present(None),
            AcceptedReason::SecretNotAllowed,
            "credentialsSecretRef",
        ),
        (
            SecretFacts::present(Some("chat")),
            AcceptedReason::Accepted,
            "",
        ),
        (SecretFacts::Unknown, AcceptedReason::Accepted, ""),
    ];
    for (facts, reason, says) in table {
        let mut world = world();
        world.secrets.insert("db".to_owned(), facts.clone());
        let verdict = &world.judge(std::slice::from_ref(&named))[0];
        assert_eq!(verdict.reason, reason, "{facts:?}");
        assert!(verdict.message.contains(says), "{}", verdict.message);
    }
}

#[test]
fn an_upstream_that_only_the_node_should_reach_is_barred_unless_it_is_meant() {
    let metadata = "host: 169.254.169.254";
    let verdict = &world().judge(&[policy("chat", 1, WEB, &database(metadata))])[0];
    assert_eq!(verdict.reason, AcceptedReason::UpstreamNotAllowed);
    assert!(
        verdict
            .message
            .contains("spec.databases[main].upstream.host"),
        "{}",
        verdict.message
    );

    let meant = format!(
        "{}  allowedUpstreams: [169.254.0.0/16]\n",
        database(metadata)
    );
    let verdict = &world().judge(&[policy("chat", 1, WEB, &meant)])[0];
    assert_eq!(
        verdict.reason,
        AcceptedReason::Accepted,
        "{}",
        verdict.message
    );
}

#[test]
fn listeners_of_pods_with_one_loopback_address_differ_in_port() {
    let two = "  databases:\n\
        \x20 - {name: a, protocol: PostgreSQL, listen: {address: 127.0.0.1, port: 5432, auth: {mode: Trust}}, upstream: {host: a.db}}\n\
        \x20 - {name: b, protocol: PostgreSQL, listen: {address: 127.0.0.2, port: 5432, auth: {mode: Trust}}, upstream: {host: b.db}}\n";
    let two = policy("chat", 1, WEB, two);
    let v4 = world().with_pod("web", &[("app", "web")], "10.0.0.1");
    assert_eq!(
        v4.judge(std::slice::from_ref(&two))[0].reason,
        AcceptedReason::Accepted
    );
    let v6 = world().with_pod("web", &[("app", "web")], "fd00::1");
    assert_eq!(
        v6.judge(&[two])[0].reason,
        AcceptedReason::NeedsDistinctPorts
    );
}
