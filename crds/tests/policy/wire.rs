//! The snapshot: what is written is what is read, and nothing else is.

use bulkhead_crds::wire::{LARGEST_SNAPSHOT, Snapshot, WireError, revision};
use bulkhead_crds::{load, resolve};

use crate::writing::policy_but;

fn snapshot() -> Snapshot {
    let policy = load(include_str!("everything.yaml")).expect("well-formed");
    Snapshot::of(resolve(&policy, "production").expect("resolves"))
}

#[test]
fn a_snapshot_survives_the_way() {
    let sent = snapshot();
    let text = sent.to_json().expect("has a JSON form");
    assert_eq!(Snapshot::from_json(&text).expect("just written"), sent);
}

#[test]
fn timeouts_that_are_off_survive_the_way() {
    let policy = policy_but(&[(
        "databases/0/timeouts",
        "{statement: 0s, idle: 0s, connect: 250ms}",
    )]);
    let sent = Snapshot::of(resolve(&policy, "x").expect("resolves"));
    let read =
        Snapshot::from_json(&sent.to_json().expect("has a JSON form")).expect("just written");
    assert_eq!(read.policy(), sent.policy());
    assert_eq!(read.policy().databases[0].timeouts.statement, None);
}

#[test]
fn equal_content_has_an_equal_revision_and_other_content_another() {
    let policy = policy_but(&[]);
    let one = resolve(&policy, "staging").expect("resolves");
    assert_eq!(
        revision(&one),
        revision(&resolve(&policy, "staging").expect("resolves"))
    );
    assert_ne!(
        revision(&one),
        revision(&resolve(&policy, "production").expect("resolves"))
    );
    assert_eq!(revision(&one).len(), 16);
    let longer = policy_but(&[("databases/0/timeouts/connect", "11s")]);
    assert_ne!(
        revision(&one),
        revision(&resolve(&longer, "staging").expect("resolves"))
    );
}

#[test]
fn what_concerns_the_operator_alone_is_not_on_the_way() {
    let of = |injection| {
        let policy = policy_but(&[("mode", "Audit"), ("injection", injection)]);
        Snapshot::of(resolve(&policy, "staging").expect("resolves"))
    };
    let nothing = of("{}");
    for (field, written) in [
        ("missed", "{missed: Evict}"),
        ("networkPolicy", "{networkPolicy: None}"),
    ] {
        let asks = of(written);
        assert_eq!(asks, nothing, "sidecars need not be told");
        let text = asks.to_json().expect("has a JSON form");
        assert!(!text.contains(field), "{text}");
    }
}

#[test]
fn what_a_policy_does_not_use_is_not_on_the_way_for_sidecars_that_do_not_know_it() {
    let text = Snapshot::of(resolve(&policy_but(&[]), "staging").expect("resolves"))
        .to_json()
        .expect("has a JSON form");
    for field in [
        "otherHosts",
        "targetSessionAttrs",
        "\"role\"",
        "userTemplate",
        "parameters",
        "fixedParameters",
        "allowedUids",
    ] {
        assert!(!text.contains(field), "{field}: {text}");
    }
}

#[test]
fn an_overlay_says_anew_where_the_servers_are() {
    let policy = policy_but(&[
        ("databases/0/upstream/port", "5433"),
        (
            "environments",
            "[{name: staging, databases: [{name: main, upstream: {hosts: [{host: a}, {host: b, port: 6000}]}}]}]",
        ),
    ]);
    let hosts = |environment| -> Vec<String> {
        let policy = resolve(&policy, environment).expect("resolves");
        let hosts = policy.databases[0].upstream.hosts();
        hosts.map(|host| host.to_string()).collect()
    };
    assert_eq!(hosts("staging"), ["a:5433", "b:6000"]);
    assert_eq!(hosts("production"), ["db.internal:5433"]);
}

#[test]
fn what_is_not_as_it_was_written_is_refused() {
    let text = snapshot().to_json().expect("has a JSON form");

    let newer = text.replacen("\"version\": 1", "\"version\": 2", 1);
    assert_eq!(
        Snapshot::from_json(&newer),
        Err(WireError::Version { found: 2 })
    );

    let edited = text.replacen("\"maxUsers\": 500", "\"maxUsers\": 501", 1);
    assert_ne!(edited, text);
    assert!(matches!(
        Snapshot::from_json(&edited),
        Err(WireError::Revision { .. })
    ));

    for broken in [
        "",
        "{}",
        "[]",
        "{\"version\": \"1\"}",
        &text[..text.len() / 2],
    ] {
        assert!(
            matches!(Snapshot::from_json(broken), Err(WireError::Malformed(_))),
            "{broken}"
        );
    }
    let large = " ".repeat(LARGEST_SNAPSHOT + 1);
    assert!(matches!(
        Snapshot::from_json(&large),
        Err(WireError::TooLarge { .. })
    ));
}
