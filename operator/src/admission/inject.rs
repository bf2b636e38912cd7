//! Injection: what a template makes of a pod. Pure; the webhook and the offline `inject` share it.
//!
//! The API server does the same in CEL (`build::admission`), and a test sends the same pods through both. So each step here is one that
//! CEL can say too: lists are filtered and joined, nothing is searched for more than once, nothing hangs on the order of templates.
//!
//! 1. *Who*: the one template whose selector matches and whose `excluding` does not.
//! 2. *Whether*: an opted-out pod, one on its node's network, a mirror of a file on its node and one that has a container of the sidecar's
//!    name are left alone, each with its reason. A pod that has this very injection is left as it is, wherever the sidecar stands in it.
//! 3. *What*: the sidecar's place, the arguments that hang on the pod, volumes, aliases, and the application's containers.

mod aliases;
mod containers;
mod place;

use std::borrow::Borrow;
use std::collections::BTreeMap;

use bulkhead_crds::conditions::SkippedReason;
use bulkhead_crds::kinds::{InjectionTemplate, OptOut};
use bulkhead_crds::names::objects;
use kube::ResourceExt as _;
use serde_json::{Value, json};

pub use place::MESH;

/// Annotation of a pod that the kubelet has made of a file on its node.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What became of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// No template is for it.
    NotSelected,
    /// It has this injection already.
    Unchanged {
        /// The policy.
        policy: String,
    },
    /// It is left alone, although a template is for it. Where the policy is in Enforce, the guard refuses it for every reason but
    /// [`SkippedReason::OptedOut`] and [`SkippedReason::StaticPod`].
    Skipped {
        /// The policy.
        policy: String,
        /// Why.
        reason: SkippedReason,
    },
    /// It was injected.
    Injected {
        /// The policy.
        policy: String,
        /// The pod as it is now.
        pod: Value,
    },
}

/// Injects a pod, or the template of a workload's pods: anything with `metadata` and `spec`. The templates are those of its namespace.
#[must_use]
pub fn inject<T: Borrow<InjectionTemplate>>(pod: &Value, templates: &[T]) -> Outcome {
    let Some(template) = chosen(pod, templates) else {
        return Outcome::NotSelected;
    };
    let policy = template.name_any();
    if let Some(reason) = left_alone(pod, template) {
        return Outcome::Skipped { policy, reason };
    }
    if is_injected(pod, template) {
        return Outcome::Unchanged { policy };
    }
    let pod = injected(pod, template);
    Outcome::Injected { policy, pod }
}

/// What to tell somebody whose pod was left alone.
#[must_use]
pub const fn advice(reason: SkippedReason) -> &'static str {
    match reason {
        SkippedReason::OptedOut => {
            "it opts out by its annotation bulkhead.dev/inject, and the policy allows that"
        }
        SkippedReason::HostNetwork => {
            "it uses its node's network, where the sidecar cannot stand: remove hostNetwork, or exclude the pod by its labels"
        }
        SkippedReason::StaticPod => {
            "it mirrors a file on its node, and the API server cannot change it"
        }
        SkippedReason::NameTaken => {
            "a container of its own is called bulkhead, which is the sidecar's name: give it another"
        }
        SkippedReason::OlderThanPolicy => "it is older than the policy: restart its workload",
        SkippedReason::Missed => {
            "it was created while nothing was there to inject it: restart its workload"
        }
    }
}

/// The template that a pod is for. There is one at the most, for each excludes what those of older policies select; should there be two
/// all the same, the first by name has it, so that the same pod always becomes the same.
fn chosen<'a, T: Borrow<InjectionTemplate>>(
    pod: &Value,
    templates: &'a [T],
) -> Option<&'a InjectionTemplate> {
    let labels = texts(&pod["metadata"]["labels"]);
    let is_for = |template: &&InjectionTemplate| {
        let excluding = template.spec.excluding.iter().flatten();
        template.spec.selector.claims(&labels, excluding)
    };
    templates
        .iter()
        .map(T::borrow)
        .filter(is_for)
        .min_by_key(|template| template.name_any())
}

fn left_alone(pod: &Value, template: &InjectionTemplate) -> Option<SkippedReason> {
    let may_opt_out = template.spec.opt_out == OptOut::Allowed;
    if may_opt_out && annotation(pod, objects::INJECT) == "false" {
        return Some(SkippedReason::OptedOut);
    }
    if pod["metadata"]["annotations"].get(MIRROR).is_some() {
        return Some(SkippedReason::StaticPod);
    }
    if pod["spec"]["hostNetwork"] == true {
        return Some(SkippedReason::HostNetwork);
    }
    is_name_taken(pod).then_some(SkippedReason::NameTaken)
}

/// Presence is what counts, not the place: somebody else's webhook may have put its own container before ours.
fn is_injected(pod: &Value, template: &InjectionTemplate) -> bool {
    annotation(pod, objects::INJECTED) == mark(template)
        && has_sidecar(pod, "initContainers")
        && taken_over(pod) == template.spec.taken_over.as_deref().unwrap_or_default()
}

/// The label of a pod whose ports are taken over, or nothing.
fn taken_over(pod: &Value) -> &str {
    let label = pod["metadata"]["labels"].get(objects::TAKEN_OVER);
    label.and_then(Value::as_str).unwrap_or_default()
}

/// Whether a container of that name is not ours: an application's, or a native sidecar that no annotation of ours tells of.
fn is_name_taken(pod: &Value) -> bool {
    let is_ours = !annotation(pod, objects::INJECTED).is_empty();
    has_sidecar(pod, "containers") || !is_ours && has_sidecar(pod, "initContainers")
}

fn has_sidecar(pod: &Value, list: &str) -> bool {
    elements(&pod["spec"][list]).iter().any(is_sidecar)
}

fn is_sidecar(container: &Value) -> bool {
    container["name"] == objects::CONTAINER
}

/// What an injected pod bears: the template that it was made from.
fn mark(template: &InjectionTemplate) -> String {
    format!("{}@{}", template.name_any(), template.spec.hash)
}

fn injected(pod: &Value, template: &InjectionTemplate) -> Value {
    let mut pod = pod.clone();
    let spec = &template.spec;
    let stale = place::take_out(&mut pod);
    let resolves = aliases::merge(
        &mut pod,
        spec.host_aliases.as_deref().unwrap_or_default(),
        stale.as_ref(),
    );
    containers::change(&mut pod, spec);
    place::put_in(&mut pod, spec, resolves);
    add_volumes(&mut pod, template);
    if !pod["metadata"]["annotations"].is_object() {
        pod["metadata"]["annotations"] = json!({});
    }
    pod["metadata"]["annotations"][objects::INJECTED] = mark(template).into();
    label(&mut pod, spec.taken_over.as_deref().unwrap_or_default());
    pod
}

/// The label by which a NetworkPolicy closes what is taken over; it goes where nothing is any more.
fn label(pod: &mut Value, mark: &str) {
    if taken_over(pod) == mark {
        return;
    }
    let labels = &mut pod["metadata"]["labels"];
    if !labels.is_object() {
        *labels = json!({});
    }
    if mark.is_empty() {
        let others = labels.as_object_mut();
        others.map(|labels| labels.remove(objects::TAKEN_OVER));
    } else {
        labels[objects::TAKEN_OVER] = mark.into();
    }
}

/// A volume of the pod's that has the name of one of ours is one of ours, of an older template.
fn add_volumes(pod: &mut Value, template: &InjectionTemplate) {
    let ours = &template.spec.volumes;
    let is_ours = |volume: &Value| ours.iter().any(|it| volume["name"] == it.name.as_str());
    let mut volumes: Vec<_> = elements(&pod["spec"]["volumes"])
        .iter()
        .filter(|volume| !is_ours(volume))
        .cloned()
        .collect();
    volumes.extend(ours.iter().map(|volume| json!(volume)));
    pod["spec"]["volumes"] = volumes.into();
}

/// The elements of a list; none where there is no list.
fn elements(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn annotation<'a>(pod: &'a Value, key: &str) -> &'a str {
    let annotation = pod["metadata"]["annotations"].get(key);
    annotation.and_then(Value::as_str).unwrap_or_default()
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests;
