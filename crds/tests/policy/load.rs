//! Files that are no policy, and what their authors are told.

use std::fmt::Write as _;

use bulkhead_crds::load;
use bulkhead_crds::load::{LARGEST_FILE, LoadError};

use crate::writing::{policy_but, set, sound, sound_but};

/// Changes to the sound policy that no file may have.
const WRONG: &[&[(&str, &str)]] = &[
    &[("databases/0/timeouts/statment", "30s")],
    &[("databases/0/statement", "30s")],
    &[("databases/0/flavour", "vanilla")],
    &[("identity/jwt", "{jwks: {url: 'https://idp.example'}}")],
    &[(
        "environments",
        "[{name: staging, databases: [{name: main, timeouts: {conect: 5s}}]}]",
    )],
    &[("environments", "[{name: staging, selector: {}}]")],
    &[("environments", "[{databases: []}]")],
    &[("databases/0/timeouts/connect", "10")],
    &[("databases/0/timeouts/connect", "ten seconds")],
    &[("databases/0/timeouts/connect", "[10s]")],
    &[("limits/memoryPerUser", "1mb")],
    &[("limits/memoryPerUser", "1.5")],
    &[("limits/maxUsers", "many")],
    &[("limits/maxUsers", "0")],
    &[("limits/maxUsers", "-1")],
    &[("limits/maxUsers", "1.5")],
    &[("mode", "enforce")],
    &[("mode", "Off")],
    &[("mode", "true")],
    &[("identity/rejectPlaceholders", "'yes'")],
    &[("databases/0/listen/port", "65536")],
    &[("databases/0/listen/port", "'5432'")],
    &[("databases/0/listen/address", "localhost")],
    &[("databases/0/listen/address", "127.0.0.1.1")],
    &[("databases/0/upstream/host", "db internal")],
    &[("databases/0/protocol", "null")],
    &[("databases/0/upstream/host", "''")],
    &[("databases/0/upstream", "null")],
    &[("databases/0/upstream/credentialsSecretRef", "chat-db")],
    &[(
        "databases/0/upstream/credentialsSecretRef",
        "{name: ../etc}",
    )],
    &[("databases/0/name", "Main Database")],
    &[("databases", "{main: {}}")],
    &[("databases/0", "main")],
    &[("selector", "null")],
    &[(
        "webSockets",
        "[{name: chat, listen: {takesOver: an-overlong-port-name}, upstream: {port: 0}}]",
    )],
    &[(
        "webSockets",
        "[{name: chat, upstream: {port: 80}, limits: {connectionsPerUser: 0, messagesPerSecond: 0}, tokens: [], criticalEvents: ['']}]",
    )],
    &[(
        "webSockets",
        "[{name: chat, upstream: {port: 80}, tokens: [{source: Cookie, key: 'my session'}, {key: x}]}]",
    )],
];

#[test]
fn each_mistake_is_told_by_its_whole_path_with_what_to_write() {
    let mut told = String::new();
    for changes in WRONG {
        let error = load(&sound_but(changes).to_string()).expect_err(&format!("{changes:?}"));
        assert!(!error.problems().is_empty(), "{changes:?}: {error}");
        let _ = writeln!(told, "{error}");
    }
    insta::assert_snapshot!("problems", told);
}

#[test]
fn what_is_no_policy_at_all_says_what_it_is() {
    let twice = "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: a}\nspec:\n  mode: Audit\n  mode: Enforce\n";
    let sound = sound().to_string();
    let mut named = crate::writing::sound();
    set(&mut named, "metadata/name", "Chat".into());
    set(&mut named, "metadata/lables", serde_json::json!({}));
    set(&mut named, "sepc", serde_json::json!({}));
    let mut told = String::new();
    for text in [
        "",
        "# nothing\n---\n---\n",
        "- a list",
        "just words",
        "a: [b",
        "kind: Deployment\napiVersion: apps/v1",
        "kind: IsolationPolicy",
        "apiVersion: bulkhead.dev/v1\nkind: IsolationPolicies",
        "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy",
        twice,
        &format!("{sound}\n---\n{sound}"),
        &named.to_string(),
        "a: !secret x",
        "1: x",
    ] {
        let error = load(text).expect_err(text);
        let _ = writeln!(told, "{error}");
    }
    insta::assert_snapshot!("files", told);
}

#[test]
fn several_mistakes_are_told_at_once_and_not_without_end() {
    let several = sound_but(&[
        ("mode", "Off"),
        ("limits/maxUsers", "0"),
        ("databases/0/timeouts/conect", "1s"),
    ]);
    let error = load(&several.to_string()).expect_err("three mistakes");
    assert_eq!(error.problems().len(), 3);

    let mut many = sound();
    for number in 0..500 {
        set(&mut many["spec"], &format!("field{number}"), 1.into());
    }
    assert_eq!(
        load(&many.to_string())
            .expect_err("500 mistakes")
            .problems()
            .len(),
        20
    );
}

#[test]
fn an_empty_field_is_a_field_left_out_as_in_the_cluster() {
    let policy = policy_but(&[
        ("mode", "null"),
        ("databases/0/timeouts", "null"),
        ("webSockets", "null"),
    ]);
    assert_eq!(policy, policy_but(&[]));
}

#[test]
fn anchors_are_fine_as_long_as_they_unfold_into_little() {
    let text = "
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: SignedContext}
  databases:
  - {name: main, protocol: PostgreSQL, upstream: {host: db}, timeouts: &patient {connect: 20s}}
  - {name: other, protocol: Redis, upstream: {host: cache}, timeouts: *patient}
";
    assert!(load(text).is_ok());
}

#[test]
fn yaml_that_would_eat_the_machine_is_refused() {
    // A document of nine levels, each ten times the last.
    let mut bomb = "a0: &a0 [x]\n".to_owned();
    for level in 1..10 {
        let last = level - 1;
        let _ = writeln!(
            bomb,
            "a{level}: &a{level} [{}]",
            vec![format!("*a{last}"); 10].join(", ")
        );
    }
    assert!(matches!(load(&bomb), Err(LoadError::Yaml(_))));

    // Nesting, by brackets and by indentation.
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
    ] {
        assert!(matches!(load(&text), Err(LoadError::Yaml(_))));
    }
    let stairs: String = (0..900)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    assert!(matches!(load(&stairs), Err(LoadError::Yaml(_))));

    // A scalar that an alias repeats, and sheer size.
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(500_000),
        vec!["*a"; 1000].join(", ")
    );
    assert!(matches!(load(&long), Err(LoadError::Yaml(_))));
    let large = "#".repeat(LARGEST_FILE + 1);
    assert_eq!(load(&large), Err(LoadError::TooLarge));
}

#[test]
fn an_error_is_never_as_long_as_what_it_rejects() {
    let long = "x".repeat(100_000);
    for path in [
        "mode",
        "limits/memoryPerUser",
        "databases/0/timeouts/connect",
        "databases/0/name",
        "databases/0/listen/address",
    ] {
        let error = load(&sound_but(&[(path, &long)]).to_string()).expect_err(path);
        assert!(error.to_string().len() < 500, "{path}");
    }
}
