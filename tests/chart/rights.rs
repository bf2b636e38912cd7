//! The operator's rights: as few as can be, and each with a line that says what it is for.

use std::collections::BTreeSet;

use bulkhead_operator::rights::{NEEDED, Scope};
use serde_json::Value;

use crate::render::{NAMESPACE, chart, objects, rendered, value_sets};

/// One right of the operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    /// `group/resource`, or the resource alone where the group is the core's.
    resource: String,
    verbs: BTreeSet<String>,
    is_named: bool,
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| it.as_str().unwrap().to_owned())
        .collect()
}

/// The rights of a role.
fn rights(role: &Value) -> Vec<Right> {
    let mut found = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                found.push(Right {
                    resource: if group.is_empty() {
                        resource
                    } else {
                        format!("{group}/{resource}")
                    },
                    verbs: texts(&rule["verbs"]).into_iter().collect(),
                    is_named: rule.get("resourceNames").is_some(),
                });
            }
        }
    }
    found
}

/// The roles of the operator itself: not those for people, and not those of `helm test`.
fn roles(values: &str, more: &[&str]) -> Vec<Value> {
    let of_operator = |object: &Value| {
        let name = object["metadata"]["name"].as_str().unwrap();
        let is_role = object["kind"] == "Role" || object["kind"] == "ClusterRole";
        is_role
            && !["bulkhead-viewer", "bulkhead-editor", "bulkhead-revoker"].contains(&name)
            && !name.ends_with("-test")
    };
    objects(&rendered(values, more))
        .into_iter()
        .filter(of_operator)
        .collect()
}

/// The rights that README.md gives a reason for.
fn told() -> BTreeSet<Right> {
    let text = std::fs::read_to_string(chart("README.md")).unwrap();
    let mut found = BTreeSet::new();
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with("| right |"))
        .skip(2);
    for line in lines.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert!(!cells[4].is_empty(), "no reason: {line}");
        for resource in cells[0].split(", ") {
            found.insert(Right {
                resource: resource.trim_matches('`').to_owned(),
                verbs: cells[1].split(", ").map(str::to_owned).collect(),
                is_named: !cells[2].is_empty(),
            });
        }
    }
    found
}

#[test]
fn every_right_has_a_reason_and_every_reason_a_right() {
    let mut all = BTreeSet::new();
    for values in value_sets() {
        all.extend(
            roles(&values, &["--set", "checkSecrets=true"])
                .iter()
                .flat_map(rights),
        );
    }
    assert_eq!(all, told());
}

/// A right on one verb, of one object where it is bound to names, where.
type Single = (Scope, String, String, String);

/// What a role gives, one by one.
fn given(role: &Value, scope: Scope) -> Vec<Single> {
    let mut found = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        let mut names = texts(&rule["resourceNames"]);
        if names.is_empty() {
            names.push(String::new());
        }
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    found.extend(names.iter().map(|name| {
                        (
                            scope,
                            format!("{group}/{resource}"),
                            verb.clone(),
                            name.clone(),
                        )
                    }));
                }
            }
        }
    }
    found
}

/// What the operator needs, and what `bulkhead-operator check` therefore asks for, one by one.
fn needed() -> BTreeSet<Single> {
    let mut found = BTreeSet::new();
    for right in NEEDED {
        let names = if right.names.is_empty() {
            &[""]
        } else {
            right.names
        };
        for verb in right.verbs {
            found.extend(names.iter().map(|name| {
                (
                    right.scope,
                    format!("{}/{}", right.group, right.resource),
                    (*verb).to_owned(),
                    (*name).to_owned(),
                )
            }));
        }
    }
    found
}

#[test]
fn the_chart_gives_what_check_asks_for_and_nothing_else() {
    let without = ["--set", "checkSecrets=false"];
    // Where namespaces are watched by name, each scope has a role of its own.
    let mut bound = BTreeSet::new();
    for role in roles("watch-namespaces", &without) {
        let scope = match role["metadata"]["namespace"].as_str() {
            None => Scope::Cluster,
            Some(NAMESPACE) => Scope::Own,
            Some(_) => Scope::Watched,
        };
        bound.extend(given(&role, scope));
    }
    assert_eq!(bound, needed());

    // Elsewhere what is for watched namespaces holds in the whole cluster.
    let mut everywhere = BTreeSet::new();
    for role in roles("default", &without) {
        let scope = if role["kind"] == "ClusterRole" {
            Scope::Cluster
        } else {
            Scope::Own
        };
        everywhere.extend(given(&role, scope));
    }
    let whole = |(scope, resource, verb, name): Single| {
        let scope = if scope == Scope::Watched {
            Scope::Cluster
        } else {
            scope
        };
        (scope, resource, verb, name)
    };
    assert_eq!(everywhere, needed().into_iter().map(whole).collect());
}

#[test]
fn no_right_is_a_star_and_none_lists_secrets_or_changes_pods() {
    for values in value_sets() {
        for right in roles(&values, &[]).iter().flat_map(rights) {
            let has = |verb: &str| right.verbs.contains(verb);
            assert!(!right.resource.contains('*') && !has("*"), "{right:?}");
            assert!(
                !has("deletecollection") && !has("escalate") && !has("bind") && !has("impersonate"),
                "{right:?}"
            );
            match right.resource.as_str() {
                "secrets" => assert!(!has("list") && !has("watch"), "{right:?}"),
                "pods" => assert!(
                    !has("patch") && !has("update") && !has("delete"),
                    "{right:?}"
                ),
                "pods/eviction" => assert_eq!(right.verbs, ["create".to_owned()].into()),
                _ => {}
            }
        }
    }
}

#[test]
fn secrets_are_written_under_fixed_names_alone() {
    for right in roles("default", &[]).iter().flat_map(rights) {
        if right.resource == "secrets" && !right.is_named {
            assert_eq!(right.verbs, BTreeSet::from(["get".to_owned()]));
        }
    }
    let named = |right: &Right| right.resource != "secrets" || right.is_named;
    assert!(
        roles("default", &["--set", "checkSecrets=false"])
            .iter()
            .flat_map(rights)
            .all(|right| named(&right))
    );
}

#[test]
fn watched_namespaces_bound_what_is_not_of_the_cluster() {
    let roles = roles("watch-namespaces", &[]);
    let cluster: Vec<_> = roles
        .iter()
        .filter(|role| role["kind"] == "ClusterRole")
        .flat_map(rights)
        .collect();
    let of_cluster = |right: &Right| {
        let resource = right.resource.as_str();
        resource == "namespaces"
            || (resource == "services" && right.is_named)
            || resource.starts_with("apiextensions.k8s.io/")
            || resource.starts_with("admissionregistration.k8s.io/")
            || (resource == "bulkhead.dev/injectiontemplates"
                && right.verbs == BTreeSet::from(["get".to_owned()]))
    };
    assert!(cluster.iter().all(of_cluster), "{cluster:?}");
    let namespaces: BTreeSet<&str> = roles
        .iter()
        .filter_map(|role| role["metadata"]["namespace"].as_str())
        .collect();
    assert_eq!(
        namespaces,
        BTreeSet::from([NAMESPACE, "chat-production", "chat-staging"])
    );
}

#[test]
fn people_may_read_policies_where_they_may_read_and_write_them_where_it_is_meant() {
    let all = objects(&rendered("default", &[]));
    let role = |name: &str| {
        all.iter()
            .find(|it| it["kind"] == "ClusterRole" && it["metadata"]["name"] == name)
            .unwrap()
    };
    let aggregated = |name: &str| {
        let labels = role(name)["metadata"]["labels"].as_object().unwrap();
        labels
            .keys()
            .filter(|key| key.starts_with("rbac.authorization.k8s.io/"))
            .count()
    };
    let people = ["bulkhead-viewer", "bulkhead-editor", "bulkhead-revoker"];
    assert_eq!(people.map(aggregated), [3, 0, 0]);
    let revokes: BTreeSet<String> = rights(role("bulkhead-revoker"))
        .into_iter()
        .filter(|right| right.verbs.contains("patch"))
        .map(|right| right.resource)
        .collect();
    assert_eq!(revokes, ["bulkhead.dev/userrevocations".to_owned()].into());
    for right in rights(role("bulkhead-viewer")) {
        assert_eq!(
            right.verbs,
            ["get", "list", "watch"].map(str::to_owned).into()
        );
    }
    let writes_templates = rights(role("bulkhead-editor"))
        .into_iter()
        .any(|right| right.resource.ends_with("templates") && right.verbs.contains("patch"));
    assert!(!writes_templates);
}
