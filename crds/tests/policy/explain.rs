//! The rows that people read are all the fields there are, and say where each value came from.

use std::collections::BTreeSet;

use bulkhead_crds::resolve::{render, render_comparison, unknown_environment};
use bulkhead_crds::{compare, explain, load, resolve};

use crate::writing::policy_but;

/// A policy in which every field is written that may stand beside the others.
const EVERYTHING: &str = include_str!("everything.yaml");

#[test]
fn every_field_that_is_written_has_a_row() {
    // Given a policy that writes every field.
    let policy = load(EVERYTHING).expect("well-formed");
    let effective = resolve(&policy, "production").expect("resolves");

    // When it is explained, then the written leaves and the rows are the same set, none of them a default.
    let rows = explain(&effective);
    let written: BTreeSet<&String> = effective.origins.0.keys().collect();
    let shown: BTreeSet<&String> = rows.iter().map(|row| &row.path).collect();
    assert_eq!(
        written.difference(&shown).collect::<Vec<_>>(),
        Vec::<&&String>::new()
    );
    assert_eq!(
        shown.difference(&written).collect::<Vec<_>>(),
        Vec::<&&String>::new()
    );
}

#[test]
fn the_policy_that_writes_everything_leaves_no_field_of_the_schema_out() {
    let mut fields = BTreeSet::new();
    leaves(
        &bulkhead_crds::schema::policy()["properties"]["spec"],
        "",
        &mut fields,
    );
    fields.retain(|field| !field.starts_with("environments") && !field.starts_with("selector"));
    let policy = load(EVERYTHING).expect("well-formed");
    let effective = resolve(&policy, "production").expect("resolves");
    let written: BTreeSet<String> = effective
        .origins
        .0
        .keys()
        .map(|path| without_names(path))
        .collect();
    let missing: Vec<_> = fields.difference(&written).collect();
    // A key set has one source of three, and its entries are told apart by name.
    assert_eq!(
        missing,
        [
            "databases[].name",
            "databases[].session.parameters",
            "databases[].upstream.host",
            "identity.jwt.jwks.inline",
            "identity.jwt.jwks.secretRef.key",
            "identity.jwt.jwks.secretRef.name",
            "identity.signedContext.jwks.inline",
            "identity.signedContext.jwks.uri",
            "inject.env",
            "webSockets[].name",
        ]
    );
}

fn leaves(schema: &serde_json::Value, path: &str, into: &mut BTreeSet<String>) {
    // A list without keys is one leaf, whatever its entries are.
    let keyed = schema["x-kubernetes-list-type"] == "map";
    let list = keyed && schema["items"].get("properties").is_some();
    let (inner, path) = if list {
        (&schema["items"], format!("{path}[]"))
    } else {
        (schema, path.to_owned())
    };
    match inner["properties"].as_object() {
        Some(fields) => {
            for (name, child) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                leaves(child, &path, into);
            }
        }
        None => drop(into.insert(path)),
    }
}

fn without_names(path: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for letter in path.chars() {
        inside = inside && letter != ']';
        if !inside {
            plain.push(letter);
        }
        inside = inside || letter == '[';
    }
    plain
}

#[test]
fn a_key_set_that_an_overlay_replaces_leaves_nothing_of_the_old_one() {
    // Given a base with keys in a Secret, and an environment with keys at an address.
    let policy = policy_but(&[
        (
            "identity",
            "{source: Jwt, jwt: {audiences: [chat], jwks: {secretRef: {name: keys, key: set.json}}}}",
        ),
        (
            "environments",
            "[{name: staging, identity: {jwt: {jwks: {uri: 'https://idp.example/keys'}}}}]",
        ),
    ]);

    // When it is resolved, then the one has replaced the other, and the rest of the block has stayed.
    let staging = resolve(&policy, "staging").expect("exactly one source");
    let rows: Vec<(String, String)> = explain(&staging)
        .into_iter()
        .filter(|row| row.path.starts_with("identity.jwt"))
        .map(|row| (row.path, format!("{} {}", row.value, row.origin)))
        .collect();
    insta::assert_debug_snapshot!(rows);
    assert!(
        !staging
            .origins
            .0
            .keys()
            .any(|path| path.contains("secretRef"))
    );
}

#[test]
fn two_environments_stand_side_by_side_with_what_differs_marked() {
    let policy = policy_but(&[(
        "environments",
        "[{name: staging, databases: [{name: main, timeouts: {connect: 35s, statement: 0s}}]}, {name: production, inject: {env: {PGHOST: 127.0.0.1}}}]",
    )]);
    let staging = resolve(&policy, "staging").expect("resolves");
    let production = resolve(&policy, "production").expect("resolves");
    let rows = compare(&staging, &production);
    let differing: Vec<_> = rows.iter().filter(|row| row.differs()).cloned().collect();
    insta::assert_snapshot!(render_comparison("staging", "production", &differing));
    assert!(render(&explain(&staging)).lines().count() > 30);
    assert!(compare(&staging, &staging).iter().all(|row| !row.differs()));
}

#[test]
fn an_environment_that_nobody_has_heard_of_is_pointed_out() {
    let policy = policy_but(&[("environments", "[{name: staging}, {name: production}]")]);
    let slip = unknown_environment(&policy, "stagin").expect("a slip of the pen");
    assert!(
        slip.message.contains("did you mean `staging`?"),
        "{}",
        slip.message
    );
    assert!(unknown_environment(&policy, "elsewhere").is_some());
    assert!(unknown_environment(&policy, "staging").is_none());
    assert!(
        unknown_environment(&policy_but(&[]), "anything").is_none(),
        "no overlays, no expectation"
    );
}

#[test]
fn an_error_message_names_the_environment_of_a_value_once() {
    // Given a value from an overlay, one from the base and one that nobody wrote.
    let policy = policy_but(&[
        ("limits/maxUsers", "7"),
        (
            "environments",
            "[{name: staging, limits: {memoryPerUser: 2Mi}}]",
        ),
    ]);
    let effective = resolve(&policy, "staging").expect("resolves");

    // When an error message names it, then the environment stands there once, and where the value came from.
    for (path, expected) in [
        (
            "limits.memoryPerUser",
            "limits.memoryPerUser = 9 (environment staging, from its overlay)",
        ),
        (
            "limits.maxUsers",
            "limits.maxUsers = 9 (environment staging, from base)",
        ),
        (
            "isolation.tier",
            "isolation.tier = 9 (environment staging, from default)",
        ),
    ] {
        assert_eq!(effective.name_field(path, 9), expected);
    }
}
