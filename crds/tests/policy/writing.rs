//! Writes policies for the other tests: a small sound one, and changes to it.

use bulkhead_crds::IsolationPolicy;
use serde_json::{Map, Value, json};

/// A sound policy that nothing can be said against.
pub(crate) fn sound() -> Value {
    json!({
        "apiVersion": "bulkhead.dev/v1alpha1",
        "kind": "IsolationPolicy",
        "metadata": {"name": "chat", "namespace": "chat"},
        "spec": {
            "selector": {"matchLabels": {"app": "chat"}},
            "identity": {"source": "SignedContext"},
            "databases": [{
                "name": "main",
                "protocol": "PostgreSQL",
                "listen": {"port": 6543},
                "upstream": {
                    "host": "db.internal",
                    "database": "chat",
                    "credentialsSecretRef": {"name": "chat-db"},
                },
            }],
        },
    })
}

/// The sound policy with changes: a path below `spec` (`databases/0/timeouts/connect`, `-` appends), and a value as YAML.
pub(crate) fn sound_but(changes: &[(&str, &str)]) -> Value {
    let mut policy = sound();
    for (path, value) in changes {
        let value = serde_yaml::from_str(value).unwrap_or_else(|error| panic!("{value}: {error}"));
        set(&mut policy["spec"], path, value);
    }
    policy
}

/// As [`sound_but`], read as a policy file is.
pub(crate) fn policy_but(changes: &[(&str, &str)]) -> IsolationPolicy {
    let text = sound_but(changes).to_string();
    bulkhead_crds::load(&text).unwrap_or_else(|error| panic!("{changes:?}: {error}"))
}

/// Puts a value at a path, and makes the way there.
pub(crate) fn set(tree: &mut Value, path: &str, value: Value) {
    let (first, rest) = path
        .split_once('/')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let child = if first == "-" || first.parse::<usize>().is_ok() {
        if !tree.is_array() {
            *tree = Value::Array(Vec::new());
        }
        let list = tree.as_array_mut().expect("just made");
        let at = first.parse().unwrap_or(list.len());
        if at == list.len() {
            list.push(Value::Null);
        }
        &mut list[at]
    } else {
        if !tree.is_object() {
            *tree = Value::Object(Map::new());
        }
        &mut tree[first]
    };
    match rest {
        Some(rest) => set(child, rest, value),
        None => *child = value,
    }
}
