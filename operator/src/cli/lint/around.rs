//! Ways round one policy, in the manifests of its namespace.

use std::collections::BTreeMap;

use bulkhead_crds::effective::EffectivePolicy;
use bulkhead_crds::kinds::OptOut;
use bulkhead_crds::names::objects::INJECT;
use bulkhead_crds::{Severity, conditions::SkippedReason};
use k8s_openapi::api::core::v1::{LimitRange, PodSpec, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;

use super::examine::{Circumstances, Policy, located};
use super::report::Located;
use crate::build::{self, Serves};
use crate::cli::manifests::Manifest;
use crate::cli::objects::{PodTemplate, pod_template};
use crate::findings::{
    Exposed, TakenOver, application, limits, network_policies, services, taken_over, workloads,
};

/// Everything in `manifests` that leads round `policy`, which comes to `effective`, or keeps its sidecar from running.
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
        .map(|it| application::named_ports(&it.spec))
        .collect();
    let taken = taken_over(effective, &ports, Serves::THIS_RELEASE);
    for selected in &specs {
        findings.extend(of_workload(effective, &taken, selected, circumstances));
        findings.extend(opt_out(effective, selected, circumstances));
    }
    // Without a workload in the files, its pods bear at least what the policy asks for.
    let asked = selector.match_labels.clone().unwrap_or_default();
    let mut pods: Vec<&BTreeMap<String, String>> = specs.iter().map(|it| &it.labels).collect();
    if pods.is_empty() {
        pods.push(&asked);
    }
    let mut tell = |manifest: &Manifest, exposed: Vec<Exposed>| {
        let exposed = exposed.into_iter();
        findings.extend(exposed.map(|it| told(manifest, circumstances, it)));
    };
    for (manifest, service) in typed::<Service>(&near, ("", "Service")) {
        tell(manifest, services::around(&taken, &pods, [&service]));
    }
    // An upstream may be a Service of any namespace.
    let all: Vec<&Manifest> = manifests.iter().collect();
    for (manifest, mut service) in typed::<Service>(&all, ("", "Service")) {
        service.metadata.namespace = Some(manifest.namespace(circumstances.namespace).to_owned());
        let domain = circumstances.cluster_domain;
        tell(manifest, services::unlisted(effective, domain, [&service]));
    }
    // They add up, so they are judged together.
    let over = typed::<NetworkPolicy>(&near, ("networking.k8s.io", "NetworkPolicy"));
    for one in network_policies::around(&taken, &pods, over.iter().map(|(_, it)| it)) {
        let of = over.iter().find(|(it, _)| it.name() == one.name);
        if let Some((manifest, _)) = of {
            tell(manifest, vec![one]);
        }
    }
    let resources = build::resources(effective);
    for (manifest, range) in typed::<LimitRange>(&near, ("", "LimitRange")) {
        tell(manifest, limits::around(&resources, [&range]));
    }
    findings
}

fn of_workload(
    effective: &EffectivePolicy,
    taken: &[TakenOver],
    selected: &Selected<'_>,
    circumstances: &Circumstances<'_>,
) -> Vec<Located> {
    let workload = workloads::Workload {
        kind: selected.manifest.kind(),
        name: selected.manifest.name(),
        path: selected.path,
        spec: &selected.spec,
    };
    workloads::around(effective, taken, workload)
        .into_iter()
        .map(|it| told(selected.manifest, circumstances, it))
        .collect()
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
