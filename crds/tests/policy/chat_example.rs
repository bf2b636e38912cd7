//! The policy of `examples/chat`, from its text to three effective policies.

use std::time::Duration;

use bulkhead_crds::effective::Origin;
use bulkhead_crds::kinds::{IdentitySource, Mode, UpstreamRole};
use bulkhead_crds::{compare, explain, load, resolve};

const CHAT: &str = include_str!("../../../examples/chat/policy.yaml");

#[test]
fn staging_differs_from_production_where_the_overlays_say_so() {
    // Given the example.
    let policy = load(CHAT).expect("the example is well-formed");

    // When it is resolved for two environments.
    let staging = resolve(&policy, "staging").expect("staging resolves");
    let production = resolve(&policy, "production").expect("production resolves");

    // Then each has its own values, and knows where they came from.
    assert_eq!(staging.identity.source, IdentitySource::Trusted);
    assert_eq!(
        staging.databases[0].timeouts.connect,
        Duration::from_secs(35)
    );
    assert_eq!(
        staging.origins.of("databases[main].timeouts.connect"),
        &Origin::Environment("staging".to_owned())
    );
    assert_eq!(
        staging.origins.of("databases[main].timeouts.acquire"),
        &Origin::Base
    );
    assert_eq!(
        staging.origins.of("databases[main].breaker.failures"),
        &Origin::Default
    );
    assert_eq!(
        production.databases[0].timeouts.connect,
        Duration::from_secs(10)
    );

    let differing: Vec<String> = compare(&staging, &production)
        .into_iter()
        .filter(|row| row.differs())
        .map(|row| row.path)
        .collect();
    assert_eq!(
        differing,
        [
            "databases[main].pool.maxConnections",
            "databases[main].pool.warm",
            "databases[main].timeouts.connect",
            "databases[main].timeouts.statement",
        ]
    );
}

#[test]
fn an_environment_without_an_overlay_gets_the_base() {
    let policy = load(CHAT).expect("the example is well-formed");
    let somewhere = resolve(&policy, "somewhere").expect("the base resolves");
    assert_eq!(somewhere.mode, Mode::Enforce);
    assert!(
        explain(&somewhere)
            .iter()
            .all(|row| !matches!(row.origin, Origin::Environment(_)))
    );
}

#[test]
fn the_table_of_fields_is_what_people_read() {
    let policy = load(CHAT).expect("the example is well-formed");
    let staging = resolve(&policy, "staging").expect("staging resolves");
    insta::assert_snapshot!(bulkhead_crds::resolve::render(&explain(&staging)));
}

#[test]
fn the_example_is_warned_of_nothing_but_what_its_comments_say() {
    let policy = load(CHAT).expect("the example is well-formed");
    let findings = bulkhead_crds::validate(&policy);
    let reasons: Vec<&str> = findings.iter().map(|finding| finding.reason).collect();
    assert_eq!(reasons, ["TrustedByAll"], "{findings:?}");
}

#[test]
fn every_example_resolves_for_each_of_its_environments() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    for entry in std::fs::read_dir(examples).expect("there are examples") {
        let path = entry.expect("readable").path().join("policy.yaml");
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let policy = load(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for environment in policy.spec.environments.iter().flatten() {
            let resolved = resolve(&policy, &environment.name);
            assert!(resolved.is_ok(), "{}: {resolved:?}", path.display());
        }
    }
}

/// The policy of `examples/clickhouse`, with no finding in either environment.
#[test]
fn the_example_for_clickhouse_is_sound() {
    let text = include_str!("../../../examples/clickhouse/policy.yaml");
    let policy = load(text).expect("the example is well-formed");
    for (environment, role) in [
        ("production", UpstreamRole::PerUser),
        ("development", UpstreamRole::Shared),
    ] {
        let resolved = resolve(&policy, environment).expect("resolves");
        assert_eq!(resolved.databases[0].upstream.role, role, "{environment}");
        assert_eq!(
            resolved.databases[0].upstream.user_template,
            "bulkhead_{user}"
        );
    }
    let findings = bulkhead_crds::validate(&policy);
    assert!(findings.is_empty(), "{findings:?}");
}
