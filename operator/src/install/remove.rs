//! Taking away what was installed.

use bulkhead_crds::names::objects;
use kube::Client;
use kube::api::DeleteParams;

use super::InstallError;
use super::wanted::{self, Target};
use crate::certificates::stored;

/// Removes one object; that it is not there, or that the API server knows no such kind, is as good.
///
/// # Errors
/// Those of the API server.
pub async fn one(client: &Client, target: &Target) -> Result<bool, InstallError> {
    let api = target.api(client);
    // A look first: what is looked for every few seconds is nearly never there.
    let found = api.get_opt(&target.name).await;
    if found.map_err(|error| target.error(error))?.is_none() {
        return Ok(false);
    }
    match api.delete(&target.name, &DeleteParams::default()).await {
        Ok(_) => {
            tracing::info!(object = %target, "removed");
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(target.error(error)),
    }
}

/// Removes everything: bindings, then policies, then webhooks, then their certificates. Returns what was there.
///
/// # Errors
/// The first object that cannot be removed; the rest is tried all the same.
pub async fn all(client: &Client, namespace: &str) -> Result<Vec<String>, InstallError> {
    let (mut removed, mut failed) = (Vec::new(), None);
    for target in wanted::all() {
        match one(client, &target).await {
            Ok(true) => removed.push(target.to_string()),
            Ok(false) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match stored::remove(client, namespace).await {
        Ok(true) => removed.push(format!("Secret/{}", objects::WEBHOOK_CERTIFICATES)),
        Ok(false) => {}
        Err(error) => failed = failed.or(Some(error.into())),
    }
    failed.map_or(Ok(removed), Err)
}
