//! Puts the revocations of a namespace in force in every pod that has a sidecar, and says so in their status.
//!
//! The list lies beside the policy in every snapshot that a pod mounts, also of policies whose edit is refused or that have gone: who is
//! cut off is so in every pod. It comes before everything else in a pass, and fails or succeeds without it.

use std::sync::Arc;

use bulkhead_crds::kinds::{Condition, UserRevocation, UserRevocationStatus};
use bulkhead_crds::names::Timestamp;
use bulkhead_crds::names::objects::MANAGER;
use bulkhead_crds::revocations::{Fate, Listing};
use k8s_openapi::jiff;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};

use super::error::Error;
use super::pass::{Memory, Passed};
use super::revocations::{self, enforced};
use super::{Context, View, events, publish};
use crate::index::Index;

/// Makes the list of the namespace and writes it into the snapshots that lack it; none where revocations have not been listed yet.
///
/// # Errors
/// Those of the API server.
pub(super) async fn put_in_force(
    context: &Context,
    view: &View,
    index: &Index,
    memory: &mut Memory,
    now: std::time::Duration,
    passed: &mut Passed,
) -> Result<Option<Listing>, Error> {
    let Some(objects) = &view.revocations else {
        return Ok(None);
    };
    let listing = memory
        .lists
        .make(objects.iter().map(AsRef::as_ref), wall_clock());
    let list = wanted(&listing)?;
    for map in index.snapshots.values() {
        if publish::list_of(map) != list.as_deref() {
            let name = map.name_any();
            publish::write_list(&context.client, &view.namespace, &name, list.as_deref()).await?;
            passed.written = true;
        }
    }
    memory.sidecars.expect_list(listing.list.revision(), now);
    Ok(Some(listing))
}

fn wall_clock() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// What a snapshot is to have beside it; nothing where nobody is cut off.
pub(super) fn wanted(listing: &Listing) -> Result<Option<String>, Error> {
    if listing.list.revocations().is_empty() {
        return Ok(None);
    }
    Ok(Some(listing.list.to_json()?))
}

/// When the list is to be made anew because one of them is over.
pub(super) fn again(listing: &Listing, now: std::time::Duration) -> Option<std::time::Duration> {
    let next = listing.next?.milliseconds();
    let wait = next.saturating_sub(wall_clock().milliseconds());
    // The clock of the pass and that of the wall differ by less than this.
    let wait = u64::try_from(wait).unwrap_or_default().saturating_add(20);
    Some(now + std::time::Duration::from_millis(wait))
}

/// Writes the status of each revocation that has changed, and tells the news.
///
/// # Errors
/// Those of the API server.
pub(super) async fn tell(
    context: &Context,
    view: &View,
    index: &Index,
    memory: &mut Memory,
    listing: &Listing,
    passed: &mut Passed,
) -> Result<(), Error> {
    let objects = view.revocations.as_deref().unwrap_or_default();
    let mut reasons = Vec::new();
    for object in objects {
        let object = &with_last_status(object, memory);
        let fate = listing.fates.get(&object.name_any());
        let fate = fate.unwrap_or(&Fate::Full);
        let tally = memory.lists.tally(object, index.pods.values(), |pod| {
            memory.sidecars.report(&pod.uid)
        });
        reasons.push(enforced(fate, &tally).0);
        let next = revocations::status(object, fate, &tally, jiff::Timestamp::now());
        if object.status.as_ref() == Some(&next) {
            continue;
        }
        if write(&context.client, object, &next).await? {
            passed.written = true;
            publish_events(context, object, &next).await;
            let uid = object.uid().unwrap_or_default();
            memory
                .told_revocations
                .insert(uid, (object.resource_version(), next));
        }
    }
    memory.told_revocations.retain(|uid, _| {
        let mut uids = objects.iter().filter_map(|object| object.uid());
        uids.any(|present| present == *uid)
    });
    let counts = revocations::count(reasons.into_iter());
    context.metrics.revocations(&view.namespace, &counts);
    Ok(())
}

/// The revocation with the status that was written upon this very version of it, if one was: the watch may not have brought it back yet.
fn with_last_status(object: &Arc<UserRevocation>, memory: &Memory) -> Arc<UserRevocation> {
    let told = object
        .uid()
        .and_then(|uid| memory.told_revocations.get(&uid));
    match told {
        Some((version, status)) if *version == object.resource_version() => {
            let mut object = UserRevocation::clone(object);
            object.status = Some(status.clone());
            Arc::new(object)
        }
        _ => Arc::clone(object),
    }
}

/// Writes a status. Says whether it did: a revocation that has gone meanwhile has none.
async fn write(
    client: &Client,
    object: &UserRevocation,
    status: &UserRevocationStatus,
) -> Result<bool, kube::Error> {
    let namespace = object.namespace().unwrap_or_default();
    let api = Api::<UserRevocation>::namespaced(client.clone(), &namespace);
    let patch = serde_json::json!({
        "apiVersion": UserRevocation::api_version(&()),
        "kind": UserRevocation::kind(&()),
        // One that was deleted and created anew in between is another one.
        "metadata": {"uid": object.uid()},
        "status": status,
    });
    let parameters = PatchParams::apply(MANAGER).force();
    match api
        .patch_status(&object.name_any(), &parameters, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Events are for people; a status that is written must not wait or fail for them.
async fn publish_events(context: &Context, object: &UserRevocation, next: &UserRevocationStatus) {
    let reference = object.object_ref(&());
    let of = |status: &UserRevocationStatus| -> Vec<Condition> {
        status.conditions.clone().unwrap_or_default()
    };
    let old = object.status.as_ref().map(of).unwrap_or_default();
    for event in events::between(&old, &of(next)) {
        if let Err(error) = context.recorder.publish(&event, &reference).await {
            tracing::warn!(%error, revocation = object.name_any(), "an event could not be written");
        }
    }
}
