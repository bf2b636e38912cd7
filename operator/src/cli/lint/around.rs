//! Ways round one policy, in the manifests of its namespace.

use std::collections::BTreeMap;

use bulkhead_crds::effective::EffectivePolicy;
use bulkhead_crds::kinds::OptOut;
use bulkhead_crds::names::objects::INJECT;
use bulkhead_crds::{Severity, conditions::SkippedReason};
use k8s_openapi::api::core::v1::{PodSpec, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;

use super::examine::{Circumstances, Policy, located};
use super::report::Located;
use crate::cli::manifests::Manifest;
use crate::cli::objects::{PodTemplate, pod_template};
use crate::findings::{Exposed, network_policies, services, taken_over, workloads};

/// Everything in `manifests` that leads round `policy`, which comes to `effective`.
pub(super) fn policy(
    policy: &Policy<'_>,
    effective: &EffectivePolicy,
    manifests: &[Manifest],
    circumstances: &Circumstances<'_>,
) -> Vec<Located> {
    let near: Vec<&Manifest> = manifests
        .iter()
        .filter(|it| it.namespace(circumstances.namespace) == policy.namespace)
        .collect();
    let selector = &policy.policy.spec.selector;
    let (specs, mut findings) = selected(selector, &near, circumstances);
    let ports: Vec<_> = specs
        .iter()
        .map(|it| workloads::named_ports(&it.spec))
        .collect();
    let taken = taken_over(effective, &ports);
    for selected in &specs {
        let workload = workloads::Workload {
            kind: selected.manifest.kind(),
            name: selected.manifest.name(),
            path: selected.path,
            spec: &selected.spec,
        };
        let exposed = workloads::around(effective, &taken, workload);
        findings.extend(
            exposed
                .into_iter()
                .map(|it| told(selected.manifest, circumstances, it)),
        );
        findings.extend(opt_out(effective, selected, circumstances));
    }
    // Without a workload in the files, its pods bear at least what the policy asks for.
    let asked = selector.match_labels.clone().unwrap_or_default();
    let mut pods: Vec<&BTreeMap<String, String>> = specs.iter().map(|it| &it.labels).collect();
    if pods.is_empty() {
        pods.push(&asked);
    }
    for (manifest, service) in typed::<Service>(&near, ("", "Service")) {
        let exposed = services::around(&taken, &pods, [&service]);
        findings.extend(
            exposed
                .into_iter()
                .map(|it| told(manifest, circumstances, it)),
        );
    }
    // An upstream may be a Service of any namespace.
    let all: Vec<&Manifest> = manifests.iter().collect();
    for (manifest, mut service) in typed::<Service>(&all, ("", "Service")) {
        service.metadata.namespace = Some(manifest.namespace(circumstances.namespace).to_owned());
        let exposed = services::unlisted(effective, circumstances.cluster_domain, [&service]);
        findings.extend(
            exposed
                .into_iter()
                .map(|it| told(manifest, circumstances, it)),
        );
    }
    let over = typed::<NetworkPolicy>(&near, ("networking.k8s.io", "NetworkPolicy"));
    let exposed = network_policies::stale(&taken, &pods, over.iter().map(|(_, it)| it));
    for one in exposed {
        let of = over
            .iter()
            .find(|(manifest, _)| manifest.name() == one.name);
        findings.extend(of.map(|(manifest, _)| told(manifest, circumstances, one)));
    }
    findings
}

/// A workload whose pods the policy selects.
struct Selected<'a> {
    manifest: &'a Manifest,
    path: &'static str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: PodSpec,
}

fn selected<'a>(
    selector: &bulkhead_crds::kinds::Selector,
    near: &[&'a Manifest],
    circumstances: &Circumstances<'_>,
) -> (Vec<Selected<'a>>, Vec<Located>) {
    let (mut found, mut findings) = (Vec::new(), Vec::new());
    for manifest in near {
        let Some(PodTemplate {
            path,
            labels,
            annotations,
            spec,
        }) = pod_template(&manifest.object)
        else {
            continue;
        };
        if !selector.matches(&labels) {
            continue;
        }
        match serde_json::from_value::<PodSpec>(spec.clone()) {
            Ok(spec) => found.push(Selected {
                manifest,
                path,
                labels,
                annotations,
                spec,
            }),
            Err(error) => findings.push(located(
                manifest,
                circumstances,
                (Severity::Error, "Malformed"),
                path,
                format!("is no pod's spec: {error}"),
            )),
        }
    }
    (found, findings)
}

fn opt_out(
    effective: &EffectivePolicy,
    selected: &Selected<'_>,
    circumstances: &Circumstances<'_>,
) -> Option<Located> {
    let asks = selected.annotations.get(INJECT).map(String::as_str) == Some("false");
    let message = match effective.opt_out {
        OptOut::Denied => {
            "keeps no sidecar out, for the policy denies it: remove it, or write `injection: {optOut: Allowed}` into the policy"
        }
        OptOut::Allowed => {
            "keeps the sidecar out, as the policy allows: its users are not kept apart"
        }
    };
    let parent = selected.path.strip_suffix("spec").unwrap_or_default();
    let path = format!("{parent}metadata.annotations[{INJECT}]");
    let reason = SkippedReason::OptedOut.as_str();
    asks.then(|| {
        located(
            selected.manifest,
            circumstances,
            (Severity::Warning, reason),
            &path,
            message.to_owned(),
        )
    })
}

fn told(manifest: &Manifest, circumstances: &Circumstances<'_>, exposed: Exposed) -> Located {
    let kind = (Severity::Warning, exposed.reason.as_str());
    located(
        manifest,
        circumstances,
        kind,
        &exposed.path,
        exposed.message,
    )
}

/// The manifests of a kind; one that is not of its own kind's form is the API server's to refuse.
fn typed<'a, T: DeserializeOwned>(
    manifests: &[&'a Manifest],
    (group, kind): (&str, &str),
) -> Vec<(&'a Manifest, T)> {
    let of_kind = manifests.iter().filter(|it| it.is(group, kind));
    of_kind
        .filter_map(|it| Some((*it, serde_json::from_value(it.object.clone()).ok()?)))
        .collect()
}
