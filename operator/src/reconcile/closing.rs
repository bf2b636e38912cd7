//! Which NetworkPolicies of ours a policy takes, to keep clients from the application's own ports. Pure.
//!
//! One is for the pods of one mark. While a rollout goes on there are pods of two, so an older one stays for as long as a pod bears its mark.
//! Where somebody else's NetworkPolicy is over a pod, none is made: it says what may come in already, and ours could only add to that.

use std::collections::BTreeMap;

use bulkhead_crds::names::objects::{POLICY, TAKEN_OVER};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt as _;

use crate::findings::network_policies::{is_ours, is_over};
use crate::index::Index;

/// What a policy wants of its pods' ports.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one lives for the moment in which it is planned by"
)]
pub enum Wish<'a> {
    /// That they are closed: to pods that are injected now by this one, where anything is taken over now, and to older pods as before.
    Closed {
        /// The one for pods that are injected now.
        current: Option<NetworkPolicy>,
        /// The labels of the pods that the policy selects, or of one that it would.
        pods: Vec<&'a BTreeMap<String, String>>,
    },
    /// What was in force stays in force, for an edit was refused.
    Kept,
    /// The policy has gone: what is there stays for the pods that still run with its sidecar.
    Outlived,
    /// Nothing is to be closed.
    Open,
}

/// What is to be written and taken away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is to be written.
    pub apply: Option<NetworkPolicy>,
    /// The names of those that are to go.
    pub delete: Vec<String>,
    /// Whether any is left, or about to be there.
    pub stays: bool,
}

/// What is to become of the NetworkPolicies of a policy.
#[must_use]
pub fn plan(policy: &str, wish: Wish<'_>, index: &Index) -> Plan {
    let own: Vec<&NetworkPolicy> = of(policy, index).collect();
    let is_barred = |more: &[&BTreeMap<String, String>]| {
        let living = index.pods.values().filter(|pod| pod.is_living);
        let marked = living.filter(|pod| own.iter().any(|it| bears(&pod.labels, it)));
        let mut pods: Vec<_> = marked.map(|pod| &pod.labels).collect();
        pods.extend(more);
        is_over(&pods, index.network_policies.values())
    };
    let (current, keeps) = match wish {
        Wish::Closed { current, pods } if !is_barred(&pods) => (current, Keeps::Used),
        Wish::Kept if !is_barred(&[]) => (None, Keeps::All),
        Wish::Outlived if !is_barred(&[]) => (None, Keeps::Used),
        _ => (None, Keeps::None),
    };
    let stays = |it: &NetworkPolicy| {
        let is_current = current
            .as_ref()
            .is_some_and(|now| now.name_any() == it.name_any());
        is_current
            || match keeps {
                Keeps::All => true,
                Keeps::Used => is_used(it, index),
                Keeps::None => false,
            }
    };
    let delete: Vec<String> = own
        .iter()
        .filter(|it| !stays(it))
        .map(|it| it.name_any())
        .collect();
    Plan {
        stays: current.is_some() || delete.len() < own.len(),
        apply: current.filter(|now| !own.iter().any(|it| says(it, now))),
        delete,
    }
}

/// Which of those that are there stay, beside the current one.
enum Keeps {
    All,
    Used,
    None,
}

/// The NetworkPolicies that were made for a policy.
pub fn of<'a>(policy: &'a str, index: &'a Index) -> impl Iterator<Item = &'a NetworkPolicy> {
    let is_it = move |it: &&NetworkPolicy| {
        is_ours(it) && it.annotations().get(POLICY).map(String::as_str) == Some(policy)
    };
    index.network_policies.values().filter(is_it)
}

/// Whether a pod that has not ended bears its mark; one that is about to end still does.
fn is_used(policy: &NetworkPolicy, index: &Index) -> bool {
    let mut pods = index.pods.values().filter(|pod| pod.is_living);
    pods.any(|pod| bears(&pod.labels, policy))
}

/// Whether a pod with these labels is one that a NetworkPolicy of ours is for.
fn bears(labels: &BTreeMap<String, String>, policy: &NetworkPolicy) -> bool {
    let selector = policy
        .spec
        .as_ref()
        .and_then(|spec| spec.pod_selector.as_ref());
    let marks = selector.and_then(|selector| selector.match_labels.as_ref());
    let mark = marks.and_then(|marks| marks.get(TAKEN_OVER));
    mark.is_some() && labels.get(TAKEN_OVER) == mark
}

/// Whether one that is there says what is wanted, whatever others have added to its metadata.
fn says(present: &NetworkPolicy, wanted: &NetworkPolicy) -> bool {
    present.name_any() == wanted.name_any()
        && present.spec == wanted.spec
        && !super::publish::lacks_metadata(present, wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::index::{Change, PodFacts, Step};

    fn labels(text: &str) -> BTreeMap<String, String> {
        let pairs = text
            .split_terminator(',')
            .map(|it| it.split_once('=').unwrap());
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// One of ours, of the policy `chat`, for pods of this mark.
    fn own(mark: &str) -> NetworkPolicy {
        serde_json::from_value(json!({
            "metadata": {"name": format!("bulkhead-chat-{mark}"), "namespace": "shop",
                "labels": {"bulkhead.dev/owned": "true"}, "annotations": {"bulkhead.dev/policy": "chat"}},
            "spec": {"podSelector": {"matchLabels": {TAKEN_OVER: mark}}, "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"port": 1, "endPort": 7999, "protocol": "TCP"}]}]},
        }))
        .unwrap()
    }

    fn theirs(selector: &serde_json::Value) -> NetworkPolicy {
        serde_json::from_value(
            json!({"metadata": {"name": "theirs"}, "spec": {"podSelector": selector}}),
        )
        .unwrap()
    }

    /// A namespace with these NetworkPolicies, and pods with these labels.
    fn index(policies: &[NetworkPolicy], pods: &[&str]) -> Index {
        let mut index = Index::default();
        for policy in policies {
            let step = Step::Applied(policy.name_any(), policy.clone());
            index.take(Change::NetworkPolicy(Box::new(step)));
        }
        for (at, pod) in pods.iter().enumerate() {
            let pod = PodFacts {
                name: format!("pod-{at}"),
                labels: labels(pod),
                is_living: true,
                is_deleting: true,
                ..PodFacts::default()
            };
            index.take(Change::Pod(Box::new(Step::Applied(pod.name.clone(), pod))));
        }
        index
    }

    /// What is written and what goes, by mark.
    fn planned(wish: Wish<'_>, index: &Index) -> (Option<String>, Vec<String>) {
        let plan = plan("chat", wish, index);
        let marked = |name: &str| name.trim_start_matches("bulkhead-chat-").to_owned();
        let applied = plan.apply.map(|it| marked(&it.name_any()));
        (
            applied,
            plan.delete.iter().map(|name| marked(name)).collect(),
        )
    }

    const MARKED_ONE: &str = "app=chat,bulkhead.dev/taken-over=one";

    #[test]
    fn what_is_wanted_is_written_once_and_what_nobody_needs_goes() {
        let bare = labels("app=chat");
        let of_one = || index(&[own("one")], &[MARKED_ONE]);
        let closed = |mark: Option<&str>| Wish::Closed {
            current: mark.map(own),
            pods: vec![&bare],
        };
        let table = [
            (
                "nothing is there",
                closed(Some("one")),
                index(&[], &["app=chat"]),
                Some("one"),
                vec![],
            ),
            ("it is there", closed(Some("one")), of_one(), None, vec![]),
            (
                "another one now, while a pod has the old",
                closed(Some("two")),
                of_one(),
                Some("two"),
                vec![],
            ),
            (
                "another one now, and no such pod",
                closed(Some("two")),
                index(&[own("one")], &["app=chat"]),
                Some("two"),
                vec!["one"],
            ),
            (
                "nothing taken over now, while a pod has it",
                closed(None),
                of_one(),
                None,
                vec![],
            ),
            (
                "nothing taken over now",
                closed(None),
                index(&[own("one")], &[]),
                None,
                vec!["one"],
            ),
            (
                "an edit is refused",
                Wish::Kept,
                index(&[own("one")], &[]),
                None,
                vec![],
            ),
            (
                "the policy has gone, and a pod has not",
                Wish::Outlived,
                of_one(),
                None,
                vec![],
            ),
            (
                "the policy has gone",
                Wish::Outlived,
                index(&[own("one")], &["app=chat"]),
                None,
                vec!["one"],
            ),
            (
                "nothing is to be closed",
                Wish::Open,
                of_one(),
                None,
                vec!["one"],
            ),
        ];
        for (what, wish, index, applied, deleted) in table {
            let found = planned(wish, &index);
            let expected = (
                applied.map(str::to_owned),
                deleted.into_iter().map(str::to_owned).collect(),
            );
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn none_is_made_where_somebody_else_says_what_may_come_in() {
        let bare = labels("app=chat");
        let closed = || Wish::Closed {
            current: Some(own("one")),
            pods: vec![&bare],
        };
        let over_all = theirs(&json!({}));
        assert_eq!(
            planned(closed(), &index(std::slice::from_ref(&over_all), &[])).0,
            None
        );
        // One that is there already would open the pods, so it goes, whatever else is wanted.
        let both = index(&[own("one"), over_all], &[MARKED_ONE]);
        for wish in [closed(), Wish::Kept, Wish::Outlived] {
            assert_eq!(
                planned(wish.clone(), &both),
                (None, vec!["one".to_owned()]),
                "{wish:?}"
            );
        }
        let over_others = theirs(&json!({"matchLabels": {"app": "other"}}));
        assert_eq!(
            planned(closed(), &index(&[over_others], &[])).0.as_deref(),
            Some("one")
        );
    }

    #[test]
    fn what_somebody_has_bent_is_put_right_and_other_policies_are_left_alone() {
        let bare = labels("app=chat");
        let mut bent = own("one");
        bent.spec.as_mut().unwrap().ingress = None;
        let wish = Wish::Closed {
            current: Some(own("one")),
            pods: vec![&bare],
        };
        assert_eq!(
            planned(wish, &index(&[bent], &[])).0.as_deref(),
            Some("one")
        );
        let mut talk = own("three");
        talk.annotations_mut()
            .insert(POLICY.to_owned(), "talk".to_owned());
        assert_eq!(planned(Wish::Open, &index(&[talk], &[])), (None, vec![]));
    }
}
