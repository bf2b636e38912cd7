//! What holds for every policy: resolving is deterministic, loses nothing, and does not care for the order of overlays.

use bulkhead_crds::effective::{EffectivePolicy, Origin};
use bulkhead_crds::kinds::{
    Breaker, DatabaseOverlay, Environment, Isolation, IsolationPolicy, Limits, Mode, OnDisconnect,
    PerUser, Pool, Tier, Timeouts,
};
use bulkhead_crds::names::Duration;
use bulkhead_crds::{explain, load, resolve};
use proptest::prelude::*;
use serde_json::Value;

use crate::writing::policy_but;

const NAMES: [&str; 3] = ["main", "second", "third"];
const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];

fn span() -> impl Strategy<Value = Option<Duration>> {
    proptest::option::of(
        (1_u64..3600).prop_map(|seconds| std::time::Duration::from_secs(seconds).into()),
    )
}

fn timeouts() -> impl Strategy<Value = Option<Timeouts>> {
    let fields = (span(), span(), span(), span(), span(), span(), span());
    proptest::option::of(fields.prop_map(
        |(connect, acquire, statement, transaction, idle_in_transaction, idle, lifetime)| {
            Timeouts {
                connect,
                acquire,
                statement,
                transaction,
                idle_in_transaction,
                idle,
                lifetime,
            }
        },
    ))
}

fn pool() -> impl Strategy<Value = Option<Pool>> {
    let fields = (
        proptest::option::of(1_u32..4),
        proptest::option::of(10_u32..500),
        proptest::option::of(0_u32..10),
    );
    proptest::option::of(fields.prop_map(|(max, max_connections, warm)| Pool {
        per_user: max.map(|max| PerUser { max: Some(max) }),
        max_connections,
        warm,
        ..Pool::default()
    }))
}

fn database(name: &'static str) -> impl Strategy<Value = DatabaseOverlay> {
    let breaker = proptest::option::of((1_u32..100).prop_map(|failures| Breaker {
        failures: Some(failures),
        ..Breaker::default()
    }));
    (timeouts(), pool(), breaker).prop_map(move |(timeouts, pool, breaker)| DatabaseOverlay {
        name: name.to_owned(),
        timeouts,
        pool,
        breaker,
        ..DatabaseOverlay::default()
    })
}

fn databases() -> impl Strategy<Value = Option<Vec<DatabaseOverlay>>> {
    let some = proptest::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len());
    proptest::option::of(
        some.prop_flat_map(|names| names.into_iter().map(database).collect::<Vec<_>>()),
    )
}

fn environment(name: &'static str) -> impl Strategy<Value = Environment> {
    let mode = proptest::option::of(prop_oneof![Just(Mode::Enforce), Just(Mode::Audit)]);
    let tier = proptest::option::of(prop_oneof![Just(Tier::Dedicated), Just(Tier::Reset)]);
    let users = proptest::option::of(1_u32..1000);
    (mode, tier, users, databases()).prop_map(move |(mode, tier, users, databases)| Environment {
        name: name.to_owned(),
        mode,
        isolation: tier.map(|tier| Isolation {
            tier: Some(tier),
            on_disconnect: Some(OnDisconnect::Keep),
        }),
        limits: users.map(|users| Limits {
            max_users: Some(users),
            memory_per_user: None,
        }),
        databases,
        ..Environment::default()
    })
}

fn environments() -> impl Strategy<Value = Vec<Environment>> {
    let some = proptest::sample::subsequence(ENVIRONMENTS.to_vec(), 0..=ENVIRONMENTS.len());
    some.prop_flat_map(|names| names.into_iter().map(environment).collect::<Vec<_>>())
}

/// Three databases, whose base is written by a random layer as well.
fn policies() -> impl Strategy<Value = IsolationPolicy> {
    (environment("base"), environments()).prop_map(|(base, environments)| {
        let upstream = "{host: db.internal, database: chat, credentialsSecretRef: {name: chat-db}}";
        let entries: Vec<String> = NAMES
            .iter()
            .enumerate()
            .map(|(at, name)| format!("{{name: {name}, protocol: PostgreSQL, listen: {{port: {}}}, upstream: {upstream}}}", 6543 + at))
            .collect();
        let mut policy = policy_but(&[("databases", &format!("[{}]", entries.join(", ")))]);
        policy.spec.mode = base.mode;
        policy.spec.isolation = base.isolation;
        policy.spec.limits = base.limits;
        for layer in base.databases.into_iter().flatten() {
            let databases = policy.spec.databases.as_mut().expect("just written");
            let database = databases.iter_mut().find(|one| one.name == layer.name).expect("one of the three");
            (database.timeouts, database.pool, database.breaker) = (layer.timeouts, layer.pool, layer.breaker);
        }
        policy.spec.environments = Some(environments);
        policy
    })
}

fn resolved(policy: &IsolationPolicy, environment: &str) -> EffectivePolicy {
    resolve(policy, environment).unwrap_or_else(|findings| panic!("{findings:?}"))
}

/// What YAML is made of, and what a policy is made of.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "apiVersion: bulkhead.dev/v1alpha1\n",
        "kind: IsolationPolicy\n",
        "metadata: {name: a}\n",
        "spec:\n",
        "  databases:\n",
        "  - name: main\n",
        "\n",
        "  ",
        "- ",
        ": ",
        "? ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "!t ",
        "!!str ",
        "<<: *a\n",
        "|\n",
        ">\n",
        "'",
        "\"",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "~",
        "0x1f",
        ".inf",
        "1e999",
        "\t",
        "\0",
        "\u{feff}",
    ];
    prop_oneof![4 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,4}"]
}

/// Merges as plainly as one can: the oracle for the real one.
fn naively_merged(below: &mut Value, layer: Value) {
    match (below, layer) {
        (Value::Object(below), Value::Object(layer)) => {
            for (field, value) in layer {
                naively_merged(below.entry(field).or_insert(Value::Null), value);
            }
        }
        (Value::Array(below), Value::Array(layer)) => {
            for entry in layer {
                let at = below.iter().position(|one| one["name"] == entry["name"]);
                naively_merged(&mut below[at.expect("an overlay adds no entries")], entry);
            }
        }
        (below, layer) => *below = layer,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_same_policy_gives_the_same_result(policy in policies()) {
        for environment in ENVIRONMENTS {
            let once = resolved(&policy, environment);
            prop_assert_eq!(&once, &resolved(&policy.clone(), environment));
            // And by way of a file.
            let text = serde_yaml::to_string(&policy).expect("has a YAML form");
            prop_assert_eq!(&once, &resolved(&load(&text).expect("what we write we read"), environment));
        }
    }

    #[test]
    fn the_order_of_overlays_and_of_their_entries_has_no_meaning(policy in policies()) {
        let mut turned = policy.clone();
        for environment in turned.spec.environments.iter_mut().flatten() {
            environment.databases.iter_mut().for_each(|databases| databases.reverse());
        }
        turned.spec.environments.iter_mut().for_each(|environments| environments.reverse());
        for environment in ENVIRONMENTS {
            prop_assert_eq!(resolved(&policy, environment), resolved(&turned, environment));
        }
    }

    #[test]
    fn an_empty_overlay_changes_nothing(policy in policies()) {
        let mut empty = policy.clone();
        let hollow = DatabaseOverlay {
            name: "main".to_owned(),
            timeouts: Some(Timeouts::default()),
            pool: Some(Pool { per_user: Some(PerUser::default()), ..Pool::default() }),
            ..DatabaseOverlay::default()
        };
        empty.spec.environments = Some(vec![Environment {
            name: "staging".to_owned(),
            databases: Some(vec![hollow]),
            ..Environment::default()
        }]);
        let mut base = policy;
        base.spec.environments = None;
        prop_assert_eq!(resolved(&base, "staging"), resolved(&empty, "staging"));
    }

    #[test]
    fn laying_an_overlay_a_second_time_changes_no_value(policy in policies()) {
        for overlay in policy.spec.environments.iter().flatten() {
            let once = resolved(&policy, &overlay.name);
            let mut flat = serde_json::to_value(&policy).expect("has a JSON form");
            let mut layer = serde_json::to_value(overlay).expect("has a JSON form");
            layer.as_object_mut().expect("an object").remove("name");
            naively_merged(&mut flat["spec"], layer);
            let mut twice = resolved(&load(&flat.to_string()).expect("well-formed"), &overlay.name);
            twice.origins = once.origins.clone();
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn a_value_is_the_overlays_or_the_bases_or_the_default(policy in policies()) {
        for environment in policy.spec.environments.iter().flatten() {
            let effective = resolved(&policy, &environment.name);
            for (at, name) in NAMES.iter().enumerate() {
                let overlay = environment.databases.iter().flatten().find(|one| one.name == *name);
                let over = overlay.and_then(|one| one.timeouts.as_ref()?.connect);
                let base = policy.spec.databases.as_ref().and_then(|all| all[at].timeouts.as_ref()?.connect);
                let origin = effective.origins.of(&format!("databases[{name}].timeouts.connect"));
                let expected = match (over, base) {
                    (Some(_), _) => Origin::Environment(environment.name.clone()),
                    (None, Some(_)) => Origin::Base,
                    (None, None) => Origin::Default,
                };
                prop_assert_eq!(origin, &expected);
                let value = over.or(base).map_or(std::time::Duration::from_secs(10), Duration::get);
                prop_assert_eq!(effective.databases[at].timeouts.connect, value);
            }
            prop_assert!(explain(&effective).iter().all(|row| row.origin != Origin::Environment("other".to_owned())));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(pieces in proptest::collection::vec(piece(), 0..60)) {
        // Whatever it says of such a text, it says it.
        let _ = load(&pieces.concat());
    }
}
