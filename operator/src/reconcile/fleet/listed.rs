//! The objects of one kind in all namespaces that are served, as watches show them. A list that is begun anew takes nothing away before it
//! is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// A namespace and a name.
type Key = (String, String);

/// The objects of kind `K`.
pub(super) struct Listed<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// Watches whose first list is still to come.
    unlisted: usize,
    /// What a list that is under way has shown so far, by the scope of its watch.
    listing: BTreeMap<Option<String>, BTreeSet<Key>>,
    listed_once: BTreeSet<Option<String>>,
}

impl<K> Default for Listed<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            unlisted: 0,
            listing: BTreeMap::new(),
            listed_once: BTreeSet::new(),
        }
    }
}

impl<K> Listed<K> {
    /// Nothing, before the first lists of so many watches.
    pub(super) fn by(watches: usize) -> Self {
        Self {
            unlisted: watches,
            ..Self::default()
        }
    }

    /// Whether all first lists are complete.
    pub(super) const fn is_known(&self) -> bool {
        self.unlisted == 0
    }

    /// Those of one namespace, by name.
    pub(super) fn of(&self, namespace: &str) -> Vec<Arc<K>> {
        let from = (namespace.to_owned(), String::new());
        let mine = self.objects.range(from..);
        let mine = mine.take_while(|((of, _), _)| of == namespace);
        mine.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// Namespaces that have any.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = String> {
        self.objects.keys().map(|key| key.0.clone())
    }
}

impl<K: ResourceExt> Listed<K> {
    /// Takes an event of the watch of a scope in; returns the namespaces that it is about.
    pub(super) fn take(&mut self, event: Event<K>, scope: Option<String>) -> BTreeSet<String> {
        match event {
            Event::Init => {
                self.listing.insert(scope, BTreeSet::new());
                BTreeSet::new()
            }
            Event::InitApply(object) => {
                let key = key(&object);
                let listing = self.listing.entry(scope).or_default();
                listing.insert(key.clone());
                self.objects.insert(key.clone(), Arc::new(object));
                [key.0].into()
            }
            Event::InitDone => self.complete(scope),
            Event::Apply(object) => {
                let key = key(&object);
                self.objects.insert(key.clone(), Arc::new(object));
                [key.0].into()
            }
            Event::Delete(object) => {
                let key = key(&object);
                self.objects.remove(&key);
                [key.0].into()
            }
        }
    }

    /// What is of this scope and has not been listed has gone.
    fn complete(&mut self, scope: Option<String>) -> BTreeSet<String> {
        let listed = self.listing.remove(&scope).unwrap_or_default();
        if self.listed_once.insert(scope.clone()) {
            self.unlisted = self.unlisted.saturating_sub(1);
        }
        let gone = self.objects.extract_if(.., |key, _| {
            scope.as_ref().is_none_or(|scope| *scope == key.0) && !listed.contains(key)
        });
        gone.map(|(key, _)| key.0).collect()
    }
}

fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}
