//! LimitRanges that do not let the sidecar have its resources: the API server refuses the pod then, and names the container.

use std::collections::BTreeMap;

use bulkhead_crds::conditions::DegradedReason;
use bulkhead_crds::kinds::template::{Quantities, Resources};
use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt as _;

use super::Exposed;

/// Resources that are compared; a sidecar has no others.
const RESOURCES: [&str; 2] = ["cpu", "memory"];
/// A ratio is written without a unit, and read in thousandths as amounts are.
const RATIO_UNIT: f64 = 1000.0;

/// LimitRanges of the namespace in which a container with these resources cannot be.
#[must_use]
pub fn around<'a>(
    resources: &Resources,
    ranges: impl IntoIterator<Item = &'a LimitRange>,
) -> Vec<Exposed> {
    let mut found = Vec::new();
    for range in ranges {
        let items = range.spec.iter().flat_map(|spec| &spec.limits).enumerate();
        for (index, item) in
            items.filter(|(_, item)| item.type_ == "Container" || item.type_ == "Pod")
        {
            for (field, message) in conflicts(resources, item) {
                found.push(Exposed {
                    reason: DegradedReason::LimitRange,
                    kind: "LimitRange".to_owned(),
                    name: range.name_any(),
                    path: format!("spec.limits[{index}].{field}"),
                    message,
                });
            }
        }
    }
    found
}

fn conflicts(resources: &Resources, item: &LimitRangeItem) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for resource in RESOURCES {
        let limit = own(&resources.limits, resource);
        let request = own(&resources.requests, resource).or(limit);
        let bound =
            |of: &Option<BTreeMap<String, Quantity>>| thousandths(&of.as_ref()?.get(resource)?.0);
        let mut add =
            |field: &str, message: String| found.push((format!("{field}.{resource}"), message));
        if let (Some(limit), Some(most)) = (limit, bound(&item.max))
            && limit > most
        {
            add(
                "max",
                format!(
                    "the sidecar's {resource} limit is above it: raise it, or lower what the policy's limits add up to"
                ),
            );
        }
        // A pod's least is met by the application's containers too.
        if item.type_ == "Container"
            && let (Some(request), Some(least)) = (request, bound(&item.min))
            && request < least
        {
            add(
                "min",
                format!(
                    "the sidecar's {resource} request is below it, and its pods are refused: lower it"
                ),
            );
        }
        if let (Some(limit), Some(request), Some(most)) =
            (limit, request, bound(&item.max_limit_request_ratio))
            && item.type_ == "Container"
            && request > 0.0
            && limit / request > most / RATIO_UNIT
        {
            add(
                "maxLimitRequestRatio",
                format!(
                    "the sidecar's {resource} limit is more than that many times its request, and its pods are refused: raise it"
                ),
            );
        }
    }
    found
}

/// What the sidecar asks for or may have, in thousandths of the base unit.
fn own(of: &Quantities, resource: &str) -> Option<f64> {
    let text = if resource == "cpu" {
        &of.cpu
    } else {
        &of.memory
    };
    thousandths(text.as_deref()?)
}

/// Reads Kubernetes' quantities, in thousandths of the base unit: a decimal number with a binary, decimal or exponent suffix. None for
/// what is no quantity.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
fn thousandths(text: &str) -> Option<f64> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(at);
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        "Ei" => 1024.0_f64.powi(6),
        exponent => 10.0_f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(number.parse::<f64>().ok()? * factor * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar() -> Resources {
        serde_json::from_value(serde_json::json!({
            "requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}))
        .unwrap()
    }

    fn found(item: serde_json::Value) -> Vec<String> {
        let range: LimitRange = serde_json::from_value(
            serde_json::json!({"metadata": {"name": "small"}, "spec": {"limits": [item]}}),
        )
        .unwrap();
        around(&sidecar(), [&range])
            .into_iter()
            .map(|it| it.path)
            .collect()
    }

    #[test]
    fn what_the_api_server_would_refuse_is_reported() {
        let table = [
            (
                serde_json::json!({"type": "Container", "max": {"memory": "64Mi"}}),
                Some("spec.limits[0].max.memory"),
            ),
            (
                serde_json::json!({"type": "Container", "max": {"memory": "128Mi", "cpu": "1000m"}}),
                None,
            ),
            (
                serde_json::json!({"type": "Container", "max": {"cpu": "0.5"}}),
                Some("spec.limits[0].max.cpu"),
            ),
            (
                serde_json::json!({"type": "Container", "min": {"cpu": "100m"}}),
                Some("spec.limits[0].min.cpu"),
            ),
            (
                serde_json::json!({"type": "Pod", "min": {"cpu": "100m"}}),
                None,
            ),
            (
                serde_json::json!({"type": "Pod", "max": {"memory": "100M"}}),
                Some("spec.limits[0].max.memory"),
            ),
            (
                serde_json::json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "4"}}),
                Some("spec.limits[0].maxLimitRequestRatio.cpu"),
            ),
            (
                serde_json::json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "20", "memory": "4"}}),
                None,
            ),
            (
                serde_json::json!({"type": "PersistentVolumeClaim", "max": {"memory": "1"}}),
                None,
            ),
        ];
        for (item, expected) in table {
            assert_eq!(
                found(item.clone()),
                expected.into_iter().collect::<Vec<_>>(),
                "{item}"
            );
        }
    }

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("1", Some(1e3)),
            ("100m", Some(100.0)),
            ("1.5", Some(1500.0)),
            ("1Ki", Some(1_024_000.0)),
            ("1k", Some(1e6)),
            ("1e3", Some(1e6)),
            ("12E2", Some(1.2e6)),
            ("x", None),
            ("1x", None),
            ("", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
