//! Uninstalling: the lease says that nobody who runs now is to lead any more.
//!
//! helm runs `uninstall` while the operator still runs, and a leader would put back what is taken away. So the lease is marked first, the
//! leader steps down, and no process that knew the lease without the mark takes it up again. One that finds the mark at its first look is
//! a new installation, and removes it when it leads. No two clocks are compared.

use std::time::{Duration, Instant};

use bulkhead_crds::names::objects;
use k8s_openapi::api::coordination::v1::Lease as Record;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt as _};
use tokio::time::sleep;

use super::holder;

/// Annotation of the Lease: when the operator was uninstalled, which tells one uninstallation from another.
const UNINSTALLED: &str = "bulkhead.dev/uninstalled";

/// How often to look whether the leader has stepped down.
const LOOK: Duration = Duration::from_millis(250);

/// How often the mark is tried, where the leader renews in between.
const TRIES: usize = 10;

/// The mark of an uninstallation; none where there was none.
pub(super) fn mark_of(record: &Record) -> Option<&str> {
    record.annotations().get(UNINSTALLED).map(String::as_str)
}

/// The same without the mark: there is a new installation.
pub(super) fn undone(mut metadata: ObjectMeta) -> ObjectMeta {
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(UNINSTALLED);
    }
    metadata
}

/// Marks the lease of the operator in `namespace`, and returns when nobody leads any more: the leader has given it back, or has been
/// silent for the whole time that it may. Without a lease there is nobody.
///
/// # Errors
/// Those of the API server.
pub async fn withdraw(client: &Client, namespace: &str) -> Result<(), kube::Error> {
    let api: Api<Record> = Api::namespaced(client.clone(), namespace);
    let Some(marked) = mark(&api).await? else {
        return Ok(());
    };
    let (mut last, mut since) = (marked, Instant::now());
    while !holder(&last).is_empty() {
        let promised = last
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_duration_seconds);
        let promised = u64::try_from(promised.unwrap_or_default()).unwrap_or_default();
        if since.elapsed() >= Duration::from_secs(promised) {
            return Ok(());
        }
        sleep(LOOK).await;
        match api.get_opt(objects::LEASE).await? {
            None => return Ok(()),
            Some(now) if now.metadata.resource_version != last.metadata.resource_version => {
                (last, since) = (now, Instant::now());
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn mark(api: &Api<Record>) -> Result<Option<Record>, kube::Error> {
    let mut tries = 0;
    loop {
        let Some(mut record) = api.get_opt(objects::LEASE).await? else {
            return Ok(None);
        };
        record
            .annotations_mut()
            .insert(UNINSTALLED.to_owned(), Timestamp::now().to_string());
        tries += 1;
        match api
            .replace(objects::LEASE, &PostParams::default(), &record)
            .await
        {
            Ok(marked) => return Ok(Some(marked)),
            Err(kube::Error::Api(status)) if status.is_conflict() && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}
