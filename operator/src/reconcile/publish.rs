//! Writes what a policy comes to into the cluster, and takes it away again.
//!
//! Everything is applied by one field manager, and only where it differs from what is there: nothing is written because time has passed.
//! What closes ports and the snapshot come before the template, and go after it: a pod that is injected finds what it mounts, and is never
//! there before what keeps clients from its application's own port.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::kinds::InjectionTemplate;
use bulkhead_crds::names::objects::{self, MANAGER, OWNED, POLICY, REVISION, REVOCATIONS_KEY};
use bulkhead_crds::wire::{self, Snapshot, WireError};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::closing::{self, Plan, Wish};
use crate::index::Index;

/// What a policy comes to, ready to be written.
#[derive(Clone, Debug)]
pub struct Publication {
    /// What sidecars read.
    pub snapshot: ConfigMap,
    /// Its revision.
    pub revision: String,
    /// What pods are injected from.
    pub template: InjectionTemplate,
    /// The list of revocations that lies beside it, where there are any.
    pub revocations: Option<String>,
}

/// The ConfigMap that carries a policy's snapshot. It has no owner: a pod whose policy is gone must still find it after its node has
/// started anew.
///
/// # Errors
/// [`WireError`], which a policy that has been resolved never causes.
pub fn snapshot(policy: EffectivePolicy) -> Result<(ConfigMap, String), WireError> {
    let (name, namespace) = (policy.name.clone(), policy.namespace.clone());
    let snapshot = Snapshot::of(policy);
    let key = objects::snapshot_key(wire::VERSION);
    let map = ConfigMap {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: Some(objects::snapshot(&name)),
            namespace: Some(namespace),
            labels: Some([(OWNED.to_owned(), "true".to_owned())].into()),
            annotations: Some([(POLICY.to_owned(), name)].into()),
            ..Default::default()
        },
        data: Some([(key, snapshot.to_json()?)].into()),
        ..ConfigMap::default()
    };
    Ok((map, snapshot.revision().to_owned()))
}

/// The revision that a snapshot carries, read from the newest version in it; none where there is none that can be read.
#[must_use]
pub fn revision_of(map: &ConfigMap) -> Option<String> {
    let text = map
        .data
        .as_ref()?
        .get(&objects::snapshot_key(wire::VERSION))?;
    Snapshot::from_json(text)
        .ok()
        .map(|snapshot| snapshot.revision().to_owned())
}

/// Writes what differs. Says whether anything did.
///
/// # Errors
/// Those of the API server.
pub async fn publish(
    client: &Client,
    index: &Index,
    publication: &Publication,
) -> Result<bool, kube::Error> {
    let Publication {
        snapshot,
        template,
        revocations,
        ..
    } = publication;
    let mut written = false;
    let present = index.snapshots.get(&snapshot.name_any());
    if present.is_none_or(|present| differs(present, snapshot)) {
        apply(client, snapshot).await?;
        if present.is_none() && revocations.is_some() {
            let (namespace, name) = (snapshot.namespace(), snapshot.name_any());
            let namespace = namespace.unwrap_or_default();
            write_list(client, &namespace, &name, revocations.as_deref()).await?;
        }
        written = true;
    }
    let present = index.templates.get(&template.name_any());
    if present
        .is_none_or(|present| present.spec != template.spec || lacks_metadata(present, template))
    {
        apply(client, template).await?;
        written = true;
    }
    Ok(written)
}

/// Writes the list of revocations beside the snapshot in a ConfigMap, or takes it out. It is a field that applying a snapshot knows nothing
/// of, so neither takes away what the other has written.
///
/// # Errors
/// Those of the API server, but not that the ConfigMap has gone.
pub async fn write_list(
    client: &Client,
    namespace: &str,
    name: &str,
    list: Option<&str>,
) -> Result<(), kube::Error> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let patch = serde_json::json!({"data": {REVOCATIONS_KEY: list}});
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// The list of revocations that a ConfigMap carries.
#[must_use]
pub fn list_of(map: &ConfigMap) -> Option<&str> {
    Some(map.data.as_ref()?.get(REVOCATIONS_KEY)?.as_str())
}

/// What came of a [`Plan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Whether anything was written.
    pub written: bool,
    /// Why the API server does not take the NetworkPolicy: a quota, or somebody's admission policy. Everything else goes on without it.
    pub refused: Option<String>,
}

/// Writes and takes away NetworkPolicies.
///
/// # Errors
/// Those of the API server, but not that it refuses to take one.
pub async fn close(client: &Client, namespace: &str, plan: &Plan) -> Result<Closed, kube::Error> {
    let mut closed = Closed::default();
    if let Some(wanted) = &plan.apply {
        match apply(client, wanted).await {
            Ok(()) => closed.written = true,
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                closed.refused = Some(status.message);
            }
            Err(error) => return Err(error),
        }
    }
    let api = Api::<NetworkPolicy>::namespaced(client.clone(), namespace);
    for name in &plan.delete {
        delete(&api, name).await?;
        closed.written = true;
    }
    Ok(closed)
}

fn differs(present: &ConfigMap, wanted: &ConfigMap) -> bool {
    let snapshots = |map: &ConfigMap| {
        let mut data = map.data.clone().unwrap_or_default();
        data.remove(REVOCATIONS_KEY);
        data
    };
    snapshots(present) != snapshots(wanted) || lacks_metadata(present, wanted)
}

/// Whether a label or an annotation of ours is missing or another; what others have added is theirs.
pub(super) fn lacks_metadata(
    present: &impl kube::ResourceExt,
    wanted: &impl kube::ResourceExt,
) -> bool {
    let lacks = |present: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
        wanted
            .iter()
            .any(|(key, value)| present.get(key) != Some(value))
    };
    lacks(present.labels(), wanted.labels()) || lacks(present.annotations(), wanted.annotations())
}

async fn apply<K>(client: &Client, object: &K) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let namespace = object.namespace().unwrap_or_default();
    let api = Api::<K>::namespaced(client.clone(), &namespace);
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch(&object.name_any(), &parameters, &Patch::Apply(object))
        .await?;
    Ok(())
}

/// Takes a policy's objects away: the template at once, and the rest when no living pod needs it. Says whether all of it is gone.
///
/// # Errors
/// Those of the API server.
pub async fn withdraw(
    client: &Client,
    namespace: &str,
    index: &Index,
    policy: &str,
) -> Result<bool, kube::Error> {
    if index.templates.get(policy).is_some() {
        let api = Api::<InjectionTemplate>::namespaced(client.clone(), namespace);
        delete(&api, policy).await?;
    }
    let plan = closing::plan(policy, Wish::Outlived, index);
    close(client, namespace, &plan).await?;
    let name = objects::snapshot(policy);
    if index.snapshots.get(&name).is_none() {
        return Ok(!plan.stays);
    }
    if is_mounted(index, policy) {
        return Ok(false);
    }
    delete(
        &Api::<ConfigMap>::namespaced(client.clone(), namespace),
        &name,
    )
    .await?;
    Ok(!plan.stays)
}

/// Whether a pod that has not ended runs with a policy's snapshot; one that is about to end still does.
#[must_use]
pub fn is_mounted(index: &Index, policy: &str) -> bool {
    index
        .pods
        .values()
        .any(|pod| pod.is_living && pod.is_injected_by(policy))
}

async fn delete<K>(api: &Api<K>, name: &str) -> Result<(), kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the kubelet renew a pod's volumes at once instead of within its sync period: any change of the pod does. Through `pods/status`,
/// so that the operator needs no right to change pods.
///
/// # Errors
/// Those of the API server, but not that the pod has gone.
pub async fn poke(
    client: &Client,
    namespace: &str,
    pod: &str,
    mark: &str,
) -> Result<(), kube::Error> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let patch = serde_json::json!({"metadata": {"annotations": {REVISION: mark}}});
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch_status(pod, &parameters, &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Change, PodFacts, Step, facts::InjectedFrom};

    fn effective() -> EffectivePolicy {
        let policy = bulkhead_crds::load(
            "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: chat, namespace: prod}\n\
             spec:\n  selector: {}\n  identity: {source: Trusted}\n",
        )
        .unwrap();
        bulkhead_crds::resolve(&policy, "staging").unwrap()
    }

    #[test]
    fn a_snapshot_is_ours_has_no_owner_and_copies_nothing_of_the_policy() {
        let (map, revision) = snapshot(effective()).unwrap();
        assert_eq!(map.name_any(), "bulkhead-chat");
        assert_eq!(map.labels().len(), 1);
        assert_eq!(map.labels()[OWNED], "true");
        assert!(map.owner_references().is_empty());
        assert_eq!(revision_of(&map), Some(revision));
    }

    #[test]
    fn only_what_differs_is_written() {
        let (wanted, _) = snapshot(effective()).unwrap();
        assert!(!differs(&wanted, &wanted));
        let mut adorned = wanted.clone();
        adorned
            .annotations_mut()
            .insert("theirs".to_owned(), "x".to_owned());
        assert!(!differs(&adorned, &wanted));
        let mut stripped = wanted.clone();
        stripped.labels_mut().clear();
        assert!(differs(&stripped, &wanted));
        let mut edited = wanted.clone();
        edited.data = None;
        assert!(differs(&edited, &wanted));
    }

    #[test]
    fn a_snapshot_stays_while_a_pod_that_has_not_ended_mounts_it() {
        let mut index = Index::default();
        let mut pod = PodFacts {
            name: "web".to_owned(),
            has_container: true,
            is_living: true,
            is_deleting: true,
            injected: InjectedFrom::read("chat@1"),
            ..PodFacts::default()
        };
        index.take(Change::Pod(Box::new(Step::Applied(
            "web".to_owned(),
            pod.clone(),
        ))));
        assert!(is_mounted(&index, "chat") && !is_mounted(&index, "other"));
        pod.is_living = false;
        index.take(Change::Pod(Box::new(Step::Applied("web".to_owned(), pod))));
        assert!(!is_mounted(&index, "chat"));
    }
}
