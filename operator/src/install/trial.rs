//! A pod on trial: created as a dry run under the guard, in the operator's own namespace, before the guard is put in force anywhere else.
//!
//! A guard whose parameters the API server cannot read refuses every pod that it looks at, whatever its conditions say. So it first looks
//! at one pod that nobody needs, through a binding that matches that pod alone.

use std::time::Duration;

use bulkhead_crds::names::objects;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::InstallError;
use super::remove;
use super::wanted::{Target, Wanted};

/// The binding of the trial.
pub const BINDING: &str = "bulkhead-guard-trial";

/// Label of the pod on trial.
const LABEL: &str = "bulkhead.dev/trial";

/// The API server takes up new policies and bindings once a second.
const TAKEN_UP: Duration = Duration::from_secs(2);

/// Fails where the guard would refuse a pod that no policy selects.
///
/// # Errors
/// [`InstallError::Trial`] with what the API server says; those of the API server.
pub async fn run(client: &Client, namespace: &str, wanted: &Wanted) -> Result<(), InstallError> {
    let Some(guard) = wanted.bindings.iter().find(|binding| {
        binding.target.name == objects::GUARD_POLICY
            && binding.target.resource.kind.starts_with("Validating")
    }) else {
        return Ok(());
    };
    let target = Target::of::<ValidatingAdmissionPolicyBinding>(BINDING);
    let mut binding = guard.body.clone();
    binding.metadata.name = Some(BINDING.to_owned());
    binding.data["spec"]["matchResources"] = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "objectSelector": {"matchLabels": {LABEL: "true"}},
    });
    target
        .api(client)
        .patch(
            BINDING,
            &PatchParams::apply(objects::MANAGER).force(),
            &Patch::Apply(&binding),
        )
        .await
        .map_err(|error| target.error(error))?;
    tokio::time::sleep(TAKEN_UP).await;
    let outcome = create(client, namespace).await;
    remove::one(client, &target).await?;
    outcome
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
