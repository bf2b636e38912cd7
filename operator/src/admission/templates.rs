//! The InjectionTemplates, as a watch has them: what every replica injects from, without asking anybody while a pod waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bulkhead_crds::kinds::template::InjectionTemplate;
use futures_util::{StreamExt as _, pin_mut};
use kube::runtime::reflector::{self, Store, store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, reflector as reflecting};
use kube::{Api, Client, ResourceExt as _};

/// The templates of the namespaces that are watched; clones share them.
#[derive(Clone)]
pub struct Templates(Arc<Vec<Watched>>);

/// What one watch has: of one namespace, or of all.
struct Watched {
    namespace: Option<String>,
    store: Store<InjectionTemplate>,
    complete: Arc<AtomicBool>,
}

impl Templates {
    /// Watches these namespaces, or all where there are none, for as long as the runtime lives. A watch that breaks is begun again, and
    /// what it had stays in use.
    #[must_use]
    pub fn watch(client: &Client, namespaces: &[String]) -> Self {
        if namespaces.is_empty() {
            return Self(Arc::new(vec![Watched::begin(
                Api::all(client.clone()),
                None,
            )]));
        }
        let each = namespaces.iter().map(|namespace| {
            let api = Api::namespaced(client.clone(), namespace);
            Watched::begin(api, Some(namespace.clone()))
        });
        Self(Arc::new(each.collect()))
    }

    /// The templates of a namespace; none as long as it is not known which there are.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Option<Vec<Arc<InjectionTemplate>>> {
        let watched = self.0.iter().find(|watched| {
            let only = watched.namespace.as_deref();
            only.is_none_or(|only| only == namespace)
        });
        // Nothing has an effect in a namespace that is not watched.
        let Some(watched) = watched else {
            return Some(Vec::new());
        };
        watched.complete.load(Ordering::Acquire).then(|| {
            watched
                .store
                .state_filter(|template| template.metadata.namespace.as_deref() == Some(namespace))
        })
    }
}

impl Watched {
    fn begin(api: Api<InjectionTemplate>, namespace: Option<String>) -> Self {
        let (store, writer) = store();
        let complete = Arc::new(AtomicBool::new(false));
        tokio::spawn(follow(api, writer, Arc::clone(&complete)));
        Self {
            namespace,
            store,
            complete,
        }
    }
}

async fn follow(
    api: Api<InjectionTemplate>,
    writer: reflector::store::Writer<InjectionTemplate>,
    complete: Arc<AtomicBool>,
) {
    let events = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|template| {
            // Who wrote which field is half of an object, and nothing to a pod.
            template.managed_fields_mut().clear();
        });
    let events = reflecting(writer, events);
    pin_mut!(events);
    let mut broken = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitDone) => {
                complete.store(true, Ordering::Release);
                broken = false;
            }
            Ok(_) => {}
            Err(error) => {
                if !broken {
                    tracing::warn!(%error, "the watch of InjectionTemplates is broken, and is begun again");
                }
                broken = true;
            }
        }
    }
}
