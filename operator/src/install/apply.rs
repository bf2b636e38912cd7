//! Writing an object where it is not as it should be, and asking the API server what it can do.

use bulkhead_crds::names::objects;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use super::InstallError;
use super::wanted::Target;
use crate::metrics::Metrics;
use crate::settings::Engine;

/// Where an object is, and what it should be.
pub struct Object {
    /// Its kind and name.
    pub target: Target,
    /// What is applied, with [`HASH`] among its annotations.
    pub body: DynamicObject,
}

/// Annotation of an object that the operator has installed: what it was applied from. By it a field that is not applied any more is
/// noticed, which no comparison with the object itself could.
pub const HASH: &str = "bulkhead.dev/applied";

/// Writes `object` unless it is there as it should be; says whether it did.
///
/// # Errors
/// Those of the API server.
pub async fn apply(
    client: &Client,
    metrics: &Metrics,
    object: &Object,
) -> Result<bool, InstallError> {
    if !differs(client, object).await? {
        return Ok(false);
    }
    let params = PatchParams::apply(objects::MANAGER).force();
    object
        .target
        .api(client)
        .patch(&object.target.name, &params, &Patch::Apply(&object.body))
        .await
        .map_err(|error| object.target.error(error))?;
    metrics.repaired(&object.target.resource.kind);
    tracing::info!(object = %object.target, "installed");
    Ok(true)
}

/// Whether an object is missing, or not as it should be.
///
/// # Errors
/// Those of the API server.
pub async fn differs(client: &Client, object: &Object) -> Result<bool, InstallError> {
    let found = object
        .target
        .api(client)
        .get_opt(&object.target.name)
        .await
        .map_err(|error| object.target.error(error))?;
    let Some(found) = found else {
        return Ok(true);
    };
    if found.annotations().get(HASH) != object.body.annotations().get(HASH) {
        return Ok(true);
    }
    let (found, wanted) = (
        serde_json::to_value(&found)?,
        serde_json::to_value(&object.body)?,
    );
    Ok(!contains(&found, &wanted))
}

/// Whether `found` has all that `wanted` has: the API server fills in defaults. Lists are as long as they should be.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(field, wanted)| {
            found
                .get(field)
                .map_or_else(|| is_empty(wanted), |found| contains(found, wanted))
        }),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| contains(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

/// What the API server does not give back.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(all) => all.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Fails unless every one of these definitions is served.
///
/// # Errors
/// The first that is not.
pub async fn established(client: &Client, names: &[&str]) -> Result<(), InstallError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in names {
        let found = api.get_opt(name).await.map_err(Box::new)?;
        let conditions = found
            .and_then(|definition| definition.status)
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        if !conditions
            .iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
        {
            return Err(InstallError::Definition((*name).to_owned()));
        }
    }
    Ok(())
}

/// The name by which the API server knows this operator.
///
/// # Errors
/// Those of the API server.
pub async fn who_am_i(client: &Client) -> Result<String, InstallError> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .map_err(Box::new)?;
    Ok(review
        .status
        .and_then(|status| status.user_info)
        .and_then(|user| user.username)
        .unwrap_or_default())
}

/// Which engine injects: what was asked for, or what this API server can do.
///
/// # Errors
/// Those of the API server.
pub async fn engine(client: &Client, asked: Engine) -> Result<Engine, InstallError> {
    if asked != Engine::Auto {
        return Ok(asked);
    }
    let served = client
        .list_api_group_resources("admissionregistration.k8s.io/v1")
        .await
        .map_err(Box::new)?;
    let can = served
        .resources
        .iter()
        .any(|resource| resource.name == "mutatingadmissionpolicies");
    Ok(if can { Engine::Policy } else { Engine::Webhook })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_that_the_server_fills_in_are_no_difference_and_everything_else_is() {
        let wanted = json!({"a": 1, "list": [{"name": "x"}], "empty": {}});
        let same = json!({"a": 1, "b": 2, "list": [{"name": "x", "port": 443}]});
        assert!(contains(&same, &wanted));
        for other in [
            json!({"a": 2, "list": [{"name": "x"}]}),
            json!({"a": 1, "list": []}),
            json!({"a": 1, "list": [{"name": "x"}, {"name": "y"}]}),
            json!({"list": [{"name": "x"}]}),
        ] {
            assert!(!contains(&other, &wanted), "{other}");
        }
    }
}
