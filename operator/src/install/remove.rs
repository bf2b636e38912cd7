//! Taking away what was installed.

use kube::Client;
use kube::api::DeleteParams;

use super::InstallError;
use super::wanted::{self, Target};

/// Removes one object; that it is not there, or that the API server knows no such kind, is as good.
///
/// # Errors
/// Those of the API server.
pub async fn one(client: &Client, target: &Target) -> Result<bool, InstallError> {
    match target
        .api(client)
        .delete(&target.name, &DeleteParams::default())
        .await
    {
        Ok(_) => {
            tracing::info!(object = %target, "removed");
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(target.error(error)),
    }
}

/// Removes everything: bindings, then policies, then webhooks. Returns what was there.
///
/// # Errors
/// The first object that cannot be removed; the rest is tried all the same.
pub async fn all(client: &Client) -> Result<Vec<Target>, InstallError> {
    let mut removed = Vec::new();
    let mut failed = None;
    for target in wanted::all() {
        match one(client, &target).await {
            Ok(true) => removed.push(target),
            Ok(false) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(removed), Err)
}
