//! A pod on trial: created as a dry run under the guard, in the operator's own namespace, before the guard is put in force anywhere else.
//!
//! A guard whose parameters the API server cannot read refuses every pod that it looks at, whatever its conditions say. So a copy of it
//! first looks at one pod that nobody needs, and matches that pod alone.

use std::time::Duration;

use bulkhead_crds::names::objects;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::json;

use super::InstallError;
use super::apply::Object;
use super::remove;
use super::wanted::{Target, Wanted};

/// What the copies are called.
pub const NAME: &str = "bulkhead-guard-trial";

/// Label of the pod on trial.
const LABEL: &str = "bulkhead.dev/trial";

/// The API server takes up new policies and bindings once a second.
pub const TAKEN_UP: Duration = Duration::from_secs(2);

/// Fails where the guard would refuse a pod that no policy selects.
///
/// # Errors
/// [`InstallError::Trial`] with what the API server says; those of the API server.
pub async fn run(client: &Client, namespace: &str, wanted: &Wanted) -> Result<(), InstallError> {
    let guard = |objects: &[Object]| {
        let guard = objects.iter().find(|object| {
            object.target.name == objects::GUARD_POLICY
                && object.target.resource.kind.starts_with("Validating")
        });
        guard.map(|object| object.body.clone())
    };
    let (Some(policy), Some(binding)) = (guard(&wanted.policies), guard(&wanted.bindings)) else {
        return Ok(());
    };
    let of_policy = Target::of::<ValidatingAdmissionPolicy>(NAME);
    let of_binding = Target::of::<ValidatingAdmissionPolicyBinding>(NAME);
    put(
        client,
        &of_policy,
        copy(policy, "matchConstraints", namespace),
    )
    .await?;
    put(
        client,
        &of_binding,
        copy(binding, "matchResources", namespace),
    )
    .await?;
    tokio::time::sleep(TAKEN_UP).await;
    let outcome = create(client, namespace).await;
    remove::one(client, &of_binding).await?;
    remove::one(client, &of_policy).await?;
    outcome
}

/// The same for the pod on trial alone.
fn copy(mut object: DynamicObject, selection: &str, namespace: &str) -> DynamicObject {
    object.metadata.name = Some(NAME.to_owned());
    let spec = &mut object.data["spec"];
    if spec["policyName"].is_string() {
        spec["policyName"] = json!(NAME);
    }
    spec[selection]["namespaceSelector"] =
        json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    spec[selection]["objectSelector"] = json!({"matchLabels": {LABEL: "true"}});
    object
}

async fn put(client: &Client, target: &Target, object: DynamicObject) -> Result<(), InstallError> {
    let params = PatchParams::apply(objects::MANAGER).force();
    target
        .api(client)
        .patch(NAME, &params, &Patch::Apply(&object))
        .await
        .map_err(|error| target.error(error))?;
    Ok(())
}

async fn create(client: &Client, namespace: &str) -> Result<(), InstallError> {
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "bulkhead-trial-", "labels": {LABEL: "true"}},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "trial",
                "image": "bulkhead.invalid/never-pulled",
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))?;
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match api.create(&params, &pod).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(InstallError::Trial(status.message)),
        Err(error) => Err(Box::new(error).into()),
    }
}
