//! What the leader does: sees to it that every policy of the cluster is in force where it should be, and says so truly.
//!
//! ```text
//!   policies, namespaces ──▶ run ──▶ one task a namespace: watch ─▶ Index ─▶ pass
//!
//!   pass:  revoke ─▶ dereference ─▶ judge (validate, resolve, conflicts) ─▶ build ─▶ publish ─▶ tell (status, events)
//!                                       pure                                  │
//!   sidecars:  poke ◀─────────────────────────────────────────────────────────┘   ask ─▶ programmed
//!   pods that were missed, where the policy asks for it:  evict
//! ```
//!
//! A namespace is the unit of reconciling: its policies contend for the same pods, so they are judged together. Who is cut off waits
//! for no policy, and comes first. What is judged is pure and stands in [`judge`], [`revocations`], [`closing`], [`share`], [`programmed`], [`degraded`], [`sidecars`], [`status`], [`events`]; the API server and the sidecars are
//! reached in [`dereference`], [`credentials`], [`publish`], [`observe`] and `evict` alone.

mod evict;
mod fleet;
mod in_force;
mod namespace;
mod pass;
mod revoke;
mod tell;

pub mod closing;
pub mod compliance;
pub mod credentials;
pub mod degraded;
pub mod dereference;
pub mod error;
pub mod events;
pub mod judge;
pub mod observe;
pub mod programmed;
pub mod publish;
pub mod revocations;
pub mod share;
pub mod sidecars;
pub mod status;
pub mod upstreams;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Debug;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::kinds::{InjectionTemplate, IsolationPolicy, UserRevocation};
use bulkhead_crds::names::objects::{MANAGER, OWNED};
use futures_util::stream::{SelectAll, Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{ListParams, PartialObjectMeta};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::watcher::Config;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::build::SidecarImage;
use crate::install::standing::Standing;
use crate::metrics::Metrics;
use crate::settings::Settings;
use fleet::{Change, Fleet};
use upstreams::Barred;

/// Sidecars that are asked at one time, in all namespaces together.
const ASKED_AT_ONCE: usize = 32;
/// Before trying again to find out what an operator before this one has left behind.
const PAUSE: Duration = Duration::from_secs(5);

/// What reconciling works with, for one term of leading.
pub struct Context {
    client: Client,
    settings: Arc<Settings>,
    metrics: Metrics,
    /// Since when what injects stands.
    standing: Standing,
    sidecar: SidecarImage,
    barred: Barred,
    recorder: Recorder,
    /// Namespaces that are passed over at one time.
    turns: Semaphore,
    /// Sidecars that are asked at one time.
    asks: Arc<Semaphore>,
}

/// What a namespace's task is told: its labels and its policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) namespace: String,
    /// Whether the rest is known: before the first whole lists, a policy that is not there may only not have been listed yet.
    pub(crate) is_known: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) policies: Vec<Arc<IsolationPolicy>>,
    /// Its revocations; none before they have been listed, when nothing may be concluded from their absence.
    pub(crate) revocations: Option<Vec<Arc<UserRevocation>>>,
    /// Whether the namespace is being deleted, or has gone.
    pub(crate) is_ending: bool,
}

impl View {
    /// Whether a revocation of it is known.
    pub(crate) fn has_revocations(&self) -> bool {
        self.revocations.as_ref().is_some_and(|all| !all.is_empty())
    }
}

impl Context {
    /// Finds out what the cluster bars, and makes the rest from the settings. The client's writes fail once the term is over.
    pub async fn new(
        client: Client,
        settings: Arc<Settings>,
        metrics: Metrics,
        standing: Standing,
    ) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: Some(settings.identity.clone()),
        };
        Self {
            sidecar: settings.sidecar.image(&settings.cluster_domain),
            barred: Barred {
                api_server: api_server(&client).await,
                cluster_domain: settings.cluster_domain.clone(),
                allowed: settings.allowed_upstreams.clone(),
            },
            recorder: Recorder::new(client.clone(), reporter),
            turns: Semaphore::new(usize::from(settings.concurrency)),
            asks: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            client,
            settings,
            metrics,
            standing,
        }
    }
}

/// The addresses by which pods reach the API server.
async fn api_server(client: &Client) -> Vec<IpAddr> {
    let by_environment = std::env::var("KUBERNETES_SERVICE_HOST")
        .ok()
        .and_then(|host| host.parse().ok());
    let api = Api::<Service>::namespaced(client.clone(), "default");
    let service = match api.get_opt("kubernetes").await {
        Ok(service) => service.and_then(|service| service.spec),
        Err(error) => {
            tracing::debug!(%error, "the API server's Service cannot be read; its address is taken from the environment");
            None
        }
    };
    let by_service = service
        .into_iter()
        .flat_map(|spec| spec.cluster_ips.unwrap_or_default())
        .filter_map(|address| address.parse().ok());
    let all: BTreeSet<IpAddr> = by_service.chain(by_environment).collect();
    all.into_iter().collect()
}

/// Reconciles for as long as it is polled. Dropping it ends everything that it has begun; what has been written stands.
pub async fn run(context: Context) -> Infallible {
    let context = Arc::new(context);
    let mut fleet = Fleet::new(&context);
    let leftovers = leftovers(&context).await;
    fleet.awaken(&context, leftovers);
    let mut changes = changes(&context);
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(change)) => fleet.take(&context, change),
                Some(Err(error)) => {
                    tracing::warn!(%error, "a watch was interrupted and goes on");
                }
                // Watches have no end; without one there would be nothing to do but to begin anew.
                None => changes = self::changes(&context),
            },
            Some(ended) = fleet.tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of a namespace has failed, and begins anew");
                    tokio::time::sleep(PAUSE).await;
                }
                fleet.revive(&context);
            }
        }
    }
}

/// Namespaces in which something of ours stands: an operator before this one may have been away when their policies were deleted.
async fn leftovers(context: &Context) -> BTreeSet<String> {
    loop {
        match owned(context).await {
            Ok(found) => return found,
            Err(error) => {
                tracing::warn!(%error, "what is there already cannot be listed; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn owned(context: &Context) -> Result<BTreeSet<String>, kube::Error> {
    let mut found = BTreeSet::new();
    let labelled = ListParams::default().labels(&format!("{OWNED}=true"));
    for api in apis::<InjectionTemplate>(context) {
        let list = api.list_metadata(&ListParams::default()).await?;
        found.extend(list.items.iter().filter_map(|object| object.namespace()));
    }
    for api in apis::<ConfigMap>(context) {
        let list = api.list_metadata(&labelled).await?;
        found.extend(list.items.iter().filter_map(|object| object.namespace()));
    }
    for api in apis::<NetworkPolicy>(context) {
        let list = api.list_metadata(&labelled).await?;
        found.extend(list.items.iter().filter_map(|object| object.namespace()));
    }
    Ok(found)
}

/// One API for all namespaces, or one for each that is watched.
fn apis<K>(context: &Context) -> Vec<Api<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let names = &context.settings.watch_namespaces;
    if names.is_empty() {
        return vec![Api::all(context.client.clone())];
    }
    let of = |name: &String| Api::namespaced(context.client.clone(), name);
    names.iter().map(of).collect()
}

type Changes = SelectAll<Pin<Box<dyn Stream<Item = Result<Change, watcher::Error>> + Send>>>;

fn changes(context: &Context) -> Changes {
    let mut all = Changes::new();
    let names = &context.settings.watch_namespaces;
    let scopes: Vec<Option<String>> = if names.is_empty() {
        vec![None]
    } else {
        names.iter().cloned().map(Some).collect()
    };
    for (api, scope) in apis::<UserRevocation>(context)
        .into_iter()
        .zip(scopes.clone())
    {
        let revocations = events(api).map(move |event| {
            let event = event?.modify(|revocation| revocation.metadata.managed_fields = None);
            Ok(Change::Revocation(Box::new(event), scope.clone()))
        });
        all.push(Box::pin(revocations));
    }
    for (api, scope) in apis::<IsolationPolicy>(context).into_iter().zip(scopes) {
        let policies = events(api).map(move |event| {
            let event = event?.modify(|policy| policy.metadata.managed_fields = None);
            Ok(Change::Policy(Box::new(event), scope.clone()))
        });
        all.push(Box::pin(policies));
    }
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(context.client.clone());
    all.push(Box::pin(events(namespaces).map(|event| {
        let event = event?.modify(|namespace| {
            namespace.metadata.managed_fields = None;
            namespace.metadata.annotations = None;
        });
        Ok(Change::Namespace(Box::new(event)))
    })));
    all
}

fn events<K>(
    api: Api<K>,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + use<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, Config::default()).default_backoff()
}
