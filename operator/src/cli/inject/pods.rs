//! One object: the template of its pods made a pod, injected, and put back.

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::sources::{Home, Sources};
use super::wrong;
use crate::admission::inject::{Outcome, advice, inject};
use crate::cli::manifests::{Manifest, Problem};
use crate::cli::objects::{Kind, pod_template};

/// What became of a workload.
pub(super) struct Workload {
    /// The object, where it has changed.
    pub changed: Option<Value>,
    /// What was done to it, or why nothing.
    pub told: String,
}

/// Injects the pods of an object. None where it has none.
///
/// # Errors
/// A field that is not what Kubernetes has there.
pub(super) fn injected(
    manifest: &Manifest,
    sources: &Sources<'_>,
    namespace: &str,
) -> Result<Option<Workload>, Vec<Problem>> {
    let Some(kind) = Kind::of(&manifest.object) else {
        return Ok(None);
    };
    let Some(template) = pod_template(&manifest.object) else {
        return Ok(None);
    };
    let above = kind.spec.strip_suffix("spec").unwrap_or_default();
    let at = format!("/{}", above.replace('.', "/"));
    let at = at.trim_end_matches('/');
    let metadata = manifest.object.pointer(&format!("{at}/metadata"));
    let metadata = metadata.cloned().unwrap_or_else(|| json!({}));
    check::<ObjectMeta>(manifest, &format!("{above}metadata"), &metadata)?;
    check::<PodSpec>(manifest, kind.spec, template.spec)?;
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.spec});
    let templates = match sources.of(namespace)? {
        Home::Templates(templates) => templates,
        Home::NotEnabled => {
            let told = format!("left alone: namespace {namespace} is not labelled for injection");
            return Ok(Some(Workload {
                changed: None,
                told,
            }));
        }
    };
    let unchanged = |told| Workload {
        changed: None,
        told,
    };
    Ok(Some(match inject(&pod, &templates) {
        Outcome::NotSelected => unchanged("left alone: no policy selects its pods".to_owned()),
        Outcome::Unchanged { policy } => {
            unchanged(format!("left alone: injected by policy {policy} already"))
        }
        Outcome::Skipped { policy, reason } => unchanged(format!(
            "left alone, although policy {policy} selects it: {}",
            advice(reason)
        )),
        Outcome::Injected { policy, mut pod } => {
            let mut object = manifest.object.clone();
            if let Some(place) = object.pointer_mut(at) {
                place["metadata"] = pod["metadata"].take();
                place["spec"] = pod["spec"].take();
            }
            let environment = sources.environment(namespace);
            Workload {
                changed: Some(object),
                told: format!("injected by policy {policy}, environment {environment}"),
            }
        }
    }))
}

/// Whether a part of an object has the types that Kubernetes has there. The API server would say it later, and of a pod that nobody wrote.
fn check<T: DeserializeOwned>(
    manifest: &Manifest,
    path: &str,
    part: &Value,
) -> Result<(), Vec<Problem>> {
    let read: Result<T, _> = serde_path_to_error::deserialize(part);
    let Err(error) = read else {
        return Ok(());
    };
    let within = error.path().to_string();
    let path = if within == "." {
        path.to_owned()
    } else {
        format!("{path}.{within}")
    };
    Err(vec![wrong(manifest, &path, error.inner())])
}
