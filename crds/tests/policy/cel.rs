//! The rules that the API server checks by CEL: each refuses what it is there for, says so, and lets everything sound pass.

use std::collections::BTreeSet;

use bulkhead_crds::schema;
use kube_cel::Validator;
use serde_json::Value;

use crate::writing::{sound, sound_but};

/// What a rule says, and changes to the sound policy that break it.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

const SOCKET: (&str, &str) = ("webSockets", "[{name: chat, upstream: {port: 8000}}]");

const HOSTS: &str = "[{host: a.internal}, {host: b.internal}]";

const BROKEN: &[Case] = &[
    (
        "source Jwt needs jwt: say where its keys are in jwt.jwks",
        &[("identity", "{source: Jwt}")],
    ),
    (
        "write exactly one of secretRef, uri and inline",
        &[("identity/signedContext/jwks", "{}")],
    ),
    (
        "write exactly one of secretRef, uri and inline",
        &[(
            "identity/signedContext/jwks",
            "{secretRef: {name: keys}, uri: 'https://idp.example'}",
        )],
    ),
    (
        "write exactly one of secretRef, uri and inline",
        &[(
            "environments",
            "[{name: staging, identity: {jwt: {jwks: {}}}}]",
        )],
    ),
    (
        "write exactly one of host and hosts",
        &[("databases/0/upstream/hosts", HOSTS)],
    ),
    (
        "write exactly one of host and hosts",
        &[("databases/0/upstream", "{database: chat}")],
    ),
    (
        "tls Secret needs tlsSecretRef",
        &[("databases/0/listen/tls", "Secret")],
    ),
    (
        "mode Scram needs secretRef",
        &[("databases/0/listen/auth/mode", "Scram")],
    ),
    (
        "warm may not exceed maxConnections",
        &[("databases/0/pool", "{maxConnections: 4, warm: 5}")],
    ),
    (
        "perUser.max may not exceed maxConnections",
        &[("databases/0/pool", "{maxConnections: 4, perUser: {max: 5}}")],
    ),
    (
        "In and NotIn need values; Exists and DoesNotExist have none",
        &[("selector", "{matchExpressions: [{key: app, operator: In}]}")],
    ),
    (
        "In and NotIn need values; Exists and DoesNotExist have none",
        &[(
            "selector",
            "{matchExpressions: [{key: app, operator: Exists, values: [chat]}]}",
        )],
    ),
    (
        "Header, Cookie and Query need key; Authorization and Subprotocol have none",
        &[SOCKET, ("webSockets/0/tokens", "[{source: Cookie}]")],
    ),
    (
        "Header, Cookie and Query need key; Authorization and Subprotocol have none",
        &[
            SOCKET,
            (
                "webSockets/0/tokens",
                "[{source: Authorization, key: X-Token}]",
            ),
        ],
    ),
    (
        "Header, Cookie and Query need key; Authorization and Subprotocol have none",
        &[
            SOCKET,
            (
                "environments",
                "[{name: staging, webSockets: [{name: chat, tokens: [{source: Header}]}]}]",
            ),
        ],
    ),
    (
        "an environment overrides a database that the policy does not have",
        &[(
            "environments",
            "[{name: staging, databases: [{name: mian}]}]",
        )],
    ),
    (
        "an environment overrides a WebSocket listener that the policy does not have",
        &[(
            "environments",
            "[{name: staging, webSockets: [{name: chat}]}]",
        )],
    ),
];

fn refusals(policy: &Value) -> Vec<String> {
    match Validator::new().validate(schema::policy(), policy, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|error| error.message)
            .collect(),
    }
}

#[test]
fn each_rule_refuses_what_it_is_there_for() {
    for (message, changes) in BROKEN {
        assert_eq!(refusals(&sound_but(changes)), [*message], "{changes:?}");
    }
}

#[test]
fn no_rule_of_the_schema_is_without_a_policy_that_breaks_it() {
    let mut rules = BTreeSet::new();
    messages(schema::policy(), &mut rules);
    assert_eq!(
        rules,
        BROKEN
            .iter()
            .map(|(message, _)| (*message).to_owned())
            .collect()
    );
}

fn messages(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Array(all) => all.iter().for_each(|one| messages(one, into)),
        Value::Object(fields) => {
            for rule in fields
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                into.insert(
                    rule["message"]
                        .as_str()
                        .expect("every rule says what to write")
                        .to_owned(),
                );
            }
            fields.values().for_each(|one| messages(one, into));
        }
        _ => {}
    }
}

#[test]
fn an_overlay_may_write_a_part_of_what_the_base_completes() {
    let policies = [
        sound(),
        sound_but(&[
            ("databases/0/listen/auth/secretRef/name", "chat-app"),
            (
                "environments",
                "[{name: staging, databases: [{name: main, listen: {auth: {mode: Scram}}, pool: {warm: 5}}]}]",
            ),
        ]),
        sound_but(&[(
            "selector",
            "{matchExpressions: [{key: app, operator: NotIn, values: [other]}]}",
        )]),
        serde_yaml::from_str(include_str!("../../../examples/chat/policy.yaml"))
            .expect("well-formed"),
        serde_yaml::from_str(include_str!("everything.yaml")).expect("well-formed"),
    ];
    for policy in policies {
        assert_eq!(refusals(&policy), Vec::<String>::new(), "{policy}");
    }
}
