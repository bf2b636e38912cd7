//! Which namespaces are tended: what the cluster-wide watches say, sorted by namespace, and shown to each namespace's task.
//!
//! Nothing is shown before the first whole lists: to a task, a policy that has not been listed yet would look like one that is gone.

mod listed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulkhead_crds::kinds::{IsolationPolicy, UserRevocation};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher::Event;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Context, View, namespace};
use listed::Listed;

/// What has changed in the cluster as a whole.
pub(super) enum Change {
    Policy(Box<Event<IsolationPolicy>>, Option<String>),
    Revocation(Box<Event<UserRevocation>>, Option<String>),
    Namespace(Box<Event<PartialObjectMeta<Namespace>>>),
}

/// The namespaces that are tended, and what is known of the others.
#[derive(Default)]
pub(super) struct Fleet {
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    policies: Listed<IsolationPolicy>,
    revocations: Listed<UserRevocation>,
    listed_namespaces: BTreeSet<String>,
    namespaces_known: bool,
    tended: BTreeMap<String, watch::Sender<View>>,
    pub(super) tasks: JoinSet<()>,
}

impl Fleet {
    pub(super) fn new(context: &Context) -> Self {
        let watches = context.settings.watch_namespaces.len().max(1);
        Self {
            policies: Listed::by(watches),
            revocations: Listed::by(watches),
            ..Self::default()
        }
    }

    /// Whether all first lists of namespaces and policies are complete. Revocations are not waited for: a cluster whose definitions are
    /// of an older release has none.
    const fn is_known(&self) -> bool {
        self.namespaces_known && self.policies.is_known()
    }

    /// Begins to tend namespaces in which something of ours stands.
    pub(super) fn awaken(&mut self, context: &Arc<Context>, namespaces: BTreeSet<String>) {
        for name in namespaces {
            self.tend(context, &name);
        }
    }

    pub(super) fn take(&mut self, context: &Arc<Context>, change: Change) {
        let known = |fleet: &Self| (fleet.is_known(), fleet.revocations.is_known());
        let before = known(self);
        let mut touched = match change {
            Change::Policy(event, scope) => self.policies.take(*event, scope),
            Change::Revocation(event, scope) => self.revocations.take(*event, scope),
            Change::Namespace(event) => self.take_namespace(*event),
        };
        if !self.is_known() {
            return;
        }
        if before != known(self) {
            touched.extend(self.tended.keys().cloned());
            touched.extend(self.policies.namespaces());
            touched.extend(self.revocations.namespaces());
        }
        for name in touched {
            self.show(context, &name);
        }
    }

    fn take_namespace(&mut self, event: Event<PartialObjectMeta<Namespace>>) -> BTreeSet<String> {
        match event {
            Event::Init => {
                self.listed_namespaces.clear();
                BTreeSet::new()
            }
            Event::InitApply(namespace) => {
                self.listed_namespaces.insert(namespace.name_any());
                self.learn(namespace)
            }
            Event::InitDone => {
                self.namespaces_known = true;
                let listed = std::mem::take(&mut self.listed_namespaces);
                self.namespaces.retain(|name, _| listed.contains(name));
                let gone = self.tended.keys().filter(|name| !listed.contains(*name));
                gone.cloned().collect()
            }
            Event::Apply(namespace) => self.learn(namespace),
            Event::Delete(namespace) => {
                self.namespaces.remove(&namespace.name_any());
                [namespace.name_any()].into()
            }
        }
    }

    fn learn(&mut self, namespace: PartialObjectMeta<Namespace>) -> BTreeSet<String> {
        let name = namespace.name_any();
        // While it is being deleted nothing may be created in it, and what is there goes by itself.
        if namespace.metadata.deletion_timestamp.is_some() {
            self.namespaces.remove(&name);
        } else {
            let labels = namespace.metadata.labels.unwrap_or_default();
            self.namespaces.insert(name.clone(), labels);
        }
        [name].into()
    }

    /// Tells a namespace's task what has changed, and starts it where there is something to do.
    fn show(&mut self, context: &Arc<Context>, name: &str) {
        let view = self.view(name);
        if let Some(sender) = self.tended.get(name) {
            sender.send_if_modified(|current| {
                let changed = *current != view;
                *current = view;
                changed
            });
        } else if !view.policies.is_empty() || (view.has_revocations() && !view.is_ending) {
            self.tend(context, name);
        }
    }

    fn view(&self, name: &str) -> View {
        let revocations = self.revocations.is_known();
        View {
            namespace: name.to_owned(),
            labels: self.namespaces.get(name).cloned().unwrap_or_default(),
            policies: self.policies.of(name),
            revocations: revocations.then(|| self.revocations.of(name)),
            is_known: self.is_known(),
            is_ending: self.is_known() && !self.namespaces.contains_key(name),
        }
    }

    fn tend(&mut self, context: &Arc<Context>, name: &str) {
        if self.tended.contains_key(name) {
            return;
        }
        let view = self.view(name);
        let (sender, receiver) = watch::channel(view);
        self.tended.insert(name.to_owned(), sender);
        let context = Arc::clone(context);
        self.tasks.spawn(namespace::tend(context, receiver));
    }

    /// Forgets namespaces whose tasks have ended because there was nothing left to do in them. A policy that has come in that very moment
    /// is tended anew.
    pub(super) fn revive(&mut self, context: &Arc<Context>) {
        let ended = self.tended.extract_if(.., |_, sender| sender.is_closed());
        let ended: Vec<String> = ended.map(|(name, _)| name).collect();
        for name in ended {
            self.show(context, &name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(namespace: &str, name: &str) -> IsolationPolicy {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {}, "identity": {"source": "Trusted"}}
        }))
        .unwrap()
    }

    fn namespace(name: &str, labels: serde_json::Value) -> PartialObjectMeta<Namespace> {
        serde_json::from_value(serde_json::json!({"metadata": {"name": name, "labels": labels}}))
            .unwrap()
    }

    /// A fleet that has seen one namespace with two policies.
    fn fleet() -> Fleet {
        let mut fleet = Fleet {
            policies: Listed::by(1),
            revocations: Listed::by(1),
            ..Fleet::default()
        };
        fleet.policies.take(Event::Init, None);
        fleet
            .policies
            .take(Event::InitApply(policy("chat", "a")), None);
        fleet
            .policies
            .take(Event::InitApply(policy("chat", "b")), None);
        fleet
            .policies
            .take(Event::InitApply(policy("chatter", "c")), None);
        assert!(!fleet.view("chat").is_known, "the list is not complete");
        fleet.policies.take(Event::InitDone, None);
        assert!(!fleet.view("chat").is_known, "nor are the namespaces");
        fleet.take_namespace(Event::Init);
        fleet.take_namespace(Event::InitApply(namespace(
            "chat",
            serde_json::json!({"a": "b"}),
        )));
        fleet.take_namespace(Event::InitDone);
        fleet
    }

    fn names(view: &View) -> Vec<String> {
        view.policies
            .iter()
            .map(|policy| policy.name_any())
            .collect()
    }

    #[test]
    fn a_namespace_is_shown_its_own_policies_and_labels() {
        let view = fleet().view("chat");
        assert!(view.is_known && !view.is_ending);
        assert_eq!(names(&view), ["a", "b"]);
        assert_eq!(view.labels["a"], "b");
        assert!(
            fleet().view("chatter").is_ending,
            "no such namespace is listed"
        );
    }

    #[test]
    fn a_list_that_is_begun_anew_takes_nothing_away_before_it_is_complete() {
        let mut fleet = fleet();
        fleet.policies.take(Event::Init, None);
        fleet
            .policies
            .take(Event::InitApply(policy("chat", "b")), None);
        assert_eq!(names(&fleet.view("chat")), ["a", "b"]);
        let touched = fleet.policies.take(Event::InitDone, None);
        assert_eq!(names(&fleet.view("chat")), ["b"]);
        assert!(touched.contains("chat") && touched.contains("chatter"));
    }

    #[test]
    fn a_list_of_one_watched_namespace_says_nothing_of_another() {
        let mut fleet = Fleet {
            policies: Listed::by(2),
            ..Fleet::default()
        };
        let scope = |name: &str| Some(name.to_owned());
        for name in ["one", "two"] {
            fleet.policies.take(Event::Init, scope(name));
            fleet
                .policies
                .take(Event::InitApply(policy(name, "p")), scope(name));
            fleet.policies.take(Event::InitDone, scope(name));
        }
        fleet.policies.take(Event::Init, scope("one"));
        fleet.policies.take(Event::InitDone, scope("one"));
        assert!(fleet.view("one").policies.is_empty());
        assert_eq!(names(&fleet.view("two")), ["p"]);
    }

    #[test]
    fn revocations_are_unknown_until_they_have_been_listed_and_nobody_waits_for_them() {
        let mut fleet = fleet();
        let view = fleet.view("chat");
        assert!(view.is_known && view.revocations.is_none());
        let revocation: UserRevocation = serde_json::from_value(serde_json::json!({
            "apiVersion": "bulkhead.dev/v1alpha1", "kind": "UserRevocation",
            "metadata": {"name": "out", "namespace": "chat"}, "spec": {"user": "alice"}
        }))
        .unwrap();
        fleet.revocations.take(Event::Init, None);
        fleet.revocations.take(Event::InitApply(revocation), None);
        assert!(fleet.view("chat").revocations.is_none());
        fleet.revocations.take(Event::InitDone, None);
        let view = fleet.view("chat");
        assert_eq!(view.revocations.as_ref().map(Vec::len), Some(1));
        assert!(view.has_revocations() && !fleet.view("chatter").has_revocations());
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_ending() {
        let mut fleet = fleet();
        let mut going = namespace("chat", serde_json::json!({}));
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            ));
        fleet.take_namespace(Event::Apply(going));
        assert!(fleet.view("chat").is_ending);
    }
}
