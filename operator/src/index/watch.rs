//! The watches of one namespace, as one stream of [`Change`]s.

use std::fmt::Debug;
use std::pin::Pin;

use bulkhead_crds::kinds::InjectionTemplate;
use bulkhead_crds::names::objects::OWNED;
use futures_util::stream::{SelectAll, Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::{Change, PodFacts, Step};

/// Objects a page of a list: a page is held whole while it is reduced.
const PAGE: u32 = 100;

/// The changes of a namespace. An error has been waited out with back-off already, and is only to be told.
pub type Changes = SelectAll<Pin<Box<dyn Stream<Item = Result<Change, watcher::Error>> + Send>>>;

/// Watches everything that policies of `namespace` are judged by. Dropping the stream ends the watches.
pub fn namespace(client: &Client, namespace: &str) -> Changes {
    let owned = format!("{OWNED}=true");
    let mut all: Changes = SelectAll::new();
    all.push(Box::pin(
        steps::<Pod, _, _>(client, namespace, None, |pod| PodFacts::of(&pod))
            .map(of(|step| Change::Pod(Box::new(step)))),
    ));
    all.push(Box::pin(
        steps::<Service, _, _>(client, namespace, None, |mut service| {
            service.metadata = slim(&service.metadata);
            service.status = None;
            service
        })
        .map(of(|step| Change::Service(Box::new(step)))),
    ));
    all.push(Box::pin(
        steps::<NetworkPolicy, _, _>(client, namespace, None, |mut policy| {
            policy.metadata = slim(&policy.metadata);
            policy
        })
        .map(of(|step| Change::NetworkPolicy(Box::new(step)))),
    ));
    all.push(Box::pin(
        steps::<LimitRange, _, _>(client, namespace, None, |mut range| {
            range.metadata = slim(&range.metadata);
            range
        })
        .map(of(|step| Change::LimitRange(Box::new(step)))),
    ));
    all.push(Box::pin(
        steps::<InjectionTemplate, _, _>(client, namespace, None, |mut template| {
            template.metadata = slim(&template.metadata);
            template
        })
        .map(of(|step| Change::Template(Box::new(step)))),
    ));
    all.push(Box::pin(
        steps::<ConfigMap, _, _>(client, namespace, Some(&owned), |mut map| {
            map.metadata = slim(&map.metadata);
            map
        })
        .map(of(|step| Change::Snapshot(Box::new(step)))),
    ));
    all
}

fn of<T>(
    kind: impl Fn(Step<T>) -> Change,
) -> impl Fn(Result<Step<T>, watcher::Error>) -> Result<Change, watcher::Error> {
    move |step| step.map(&kind)
}

/// What of an object's metadata is compared: nothing that changes by itself.
fn slim(
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        ..Default::default()
    }
}

fn steps<K, T, F>(
    client: &Client,
    namespace: &str,
    labels: Option<&str>,
    reduce: F,
) -> impl Stream<Item = Result<Step<T>, watcher::Error>> + Send + use<K, T, F>
where
    F: Fn(K) -> T + Send + 'static,
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
    T: Send + 'static,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let config = Config::default().page_size(PAGE);
    let config = match labels {
        Some(labels) => config.labels(labels),
        None => config,
    };
    watcher(api, config)
        .default_backoff()
        .map(move |event| event.map(|event| step(event, &reduce)))
}

fn step<K: Resource<DynamicType = ()>, T>(event: Event<K>, reduce: &impl Fn(K) -> T) -> Step<T> {
    match event {
        Event::Init => Step::Begin,
        Event::InitApply(object) => Step::Listed(object.name_any(), reduce(object)),
        Event::InitDone => Step::Complete,
        Event::Apply(object) => Step::Applied(object.name_any(), reduce(object)),
        Event::Delete(object) => Step::Deleted(object.name_any()),
    }
}
