//! What the operator knows of one namespace: the few facts that judging its policies needs, and nothing else of its objects.
//!
//! ```text
//!   watch ── Change ──▶ Index ──▶ reconcile
//! ```
//!
//! Whole objects pass through [`watch`] and are reduced at once; memory follows the pods of namespaces that have policies, a few hundred
//! bytes each, not the cluster.

pub mod facts;
pub mod watch;

use std::collections::BTreeMap;

use bulkhead_crds::kinds::InjectionTemplate;
use bulkhead_crds::names::objects::POLICY;
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;

use crate::findings::network_policies::is_ours;

pub use facts::{PodFacts, Workload};

/// The objects of one kind, by name. A list that is under way replaces the old content when it is complete, never before.
#[derive(Clone, Debug)]
pub struct Store<T> {
    objects: BTreeMap<String, T>,
    listing: Option<BTreeMap<String, T>>,
    complete: bool,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            listing: None,
            complete: false,
        }
    }
}

/// One step of a watch.
#[derive(Clone, Debug)]
pub enum Step<T> {
    /// A list begins.
    Begin,
    /// An object of the list.
    Listed(String, T),
    /// The list is complete.
    Complete,
    /// An object is new or has changed.
    Applied(String, T),
    /// An object has gone.
    Deleted(String),
}

impl<T: PartialEq> Store<T> {
    /// Takes a step in; says whether what is known has changed.
    pub fn take(&mut self, step: Step<T>) -> bool {
        match step {
            Step::Begin => {
                self.listing = Some(BTreeMap::new());
                false
            }
            Step::Listed(name, object) => {
                self.listing
                    .get_or_insert_with(BTreeMap::new)
                    .insert(name, object);
                false
            }
            Step::Complete => {
                let listed = self.listing.take().unwrap_or_default();
                let changed = !self.complete || listed != self.objects;
                self.objects = listed;
                self.complete = true;
                changed
            }
            Step::Applied(name, object) => {
                let changed = self.objects.get(&name) != Some(&object);
                self.objects.insert(name, object);
                changed
            }
            Step::Deleted(name) => self.objects.remove(&name).is_some(),
        }
    }
}

impl<T> Store<T> {
    /// The objects, in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.objects.values()
    }

    /// The object of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.objects.get(name)
    }

    /// Whether a whole list has been seen.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }
}

/// One namespace, as far as its policies are concerned.
#[derive(Debug, Default)]
pub struct Index {
    /// Its pods.
    pub pods: Store<PodFacts>,
    /// Its Services.
    pub services: Store<Service>,
    /// Its NetworkPolicies.
    pub network_policies: Store<NetworkPolicy>,
    /// Its LimitRanges.
    pub limit_ranges: Store<LimitRange>,
    /// Our templates.
    pub templates: Store<InjectionTemplate>,
    /// Our snapshots.
    pub snapshots: Store<ConfigMap>,
}

/// One step of one of the watches of a namespace.
#[derive(Clone, Debug)]
pub enum Change {
    /// Of a pod.
    Pod(Box<Step<PodFacts>>),
    /// Of a Service.
    Service(Box<Step<Service>>),
    /// Of a NetworkPolicy.
    NetworkPolicy(Box<Step<NetworkPolicy>>),
    /// Of a LimitRange.
    LimitRange(Box<Step<LimitRange>>),
    /// Of a template.
    Template(Box<Step<InjectionTemplate>>),
    /// Of a snapshot.
    Snapshot(Box<Step<ConfigMap>>),
}

impl Index {
    /// Takes a change in; says whether anything that is known has changed.
    pub fn take(&mut self, change: Change) -> bool {
        match change {
            Change::Pod(step) => self.pods.take(*step),
            Change::Service(step) => self.services.take(*step),
            Change::NetworkPolicy(step) => self.network_policies.take(*step),
            Change::LimitRange(step) => self.limit_ranges.take(*step),
            Change::Template(step) => self.templates.take(*step),
            Change::Snapshot(step) => self.snapshots.take(*step),
        }
    }

    /// Whether every kind has been listed once: before that, nothing may be concluded from an object's absence.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.pods.is_complete()
            && self.services.is_complete()
            && self.network_policies.is_complete()
            && self.limit_ranges.is_complete()
            && self.templates.is_complete()
            && self.snapshots.is_complete()
    }

    /// The policies that something of ours was made for.
    #[must_use]
    pub fn policies_with_objects(&self) -> Vec<String> {
        let templates = self.templates.values().map(|object| object.name_any());
        let snapshots = self.snapshots.values().map(ResourceExt::annotations);
        let network_policies = self.network_policies.values();
        let ours = network_policies.filter(|object| is_ours(object));
        let marked = snapshots.chain(ours.map(ResourceExt::annotations));
        let named = marked.filter_map(|annotations| annotations.get(POLICY).cloned());
        let mut names: Vec<String> = templates.chain(named).collect();
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_replaces_what_was_known_only_when_it_is_complete() {
        let mut store = Store::default();
        assert!(store.take(Step::Applied("old".to_owned(), 1)));
        assert!(!store.take(Step::Begin));
        assert!(!store.take(Step::Listed("new".to_owned(), 2)));
        assert_eq!(store.get("old"), Some(&1), "a list may be cut short");
        assert!(store.take(Step::Complete));
        assert_eq!(store.values().collect::<Vec<_>>(), [&2]);
    }

    #[test]
    fn what_says_nothing_new_is_no_change() {
        let mut store = Store::default();
        store.take(Step::Begin);
        store.take(Step::Listed("a".to_owned(), 1));
        store.take(Step::Complete);
        assert!(!store.take(Step::Applied("a".to_owned(), 1)));
        store.take(Step::Begin);
        store.take(Step::Listed("a".to_owned(), 1));
        assert!(!store.take(Step::Complete));
        assert!(store.take(Step::Deleted("a".to_owned())));
        assert!(!store.take(Step::Deleted("a".to_owned())));
    }
}
