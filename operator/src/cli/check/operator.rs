//! The operator itself: its replicas, and the lease by which one of them leads.

use bulkhead_crds::names::objects::LEASE;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};

use super::outcome::Outcome;

/// Whether as many replicas are ready as there should be.
pub(super) async fn replicas(client: &Client, namespace: &str, name: &str) -> Outcome {
    let check = format!("deployment {namespace}/{name}");
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = match api.get_opt(name).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Outcome::failed(
                check,
                "is not there",
                "helm install it, or name its namespace by --operator-namespace",
            );
        }
        Err(error) => return Outcome::unanswered(check, &error),
    };
    let wanted = found.spec.replicas.unwrap_or(1);
    let ready = found
        .status
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0);
    let message = format!("{ready} of {wanted} replicas are ready");
    let hint = format!("kubectl describe pods -n {namespace} says why");
    match (ready, wanted) {
        (0, _) => Outcome::failed(check, message, hint),
        (ready, wanted) if ready < wanted => Outcome::warned(check, message, hint),
        (_, 1) => Outcome::warned(
            check,
            message,
            "with two, one may go without a gap in admission",
        ),
        _ => Outcome::passed(check, message),
    }
}

/// Whether somebody leads.
pub(super) async fn leader(client: &Client, namespace: &str) -> Outcome {
    let check = format!("lease {namespace}/{LEASE}");
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    match api.get_opt(LEASE).await {
        Ok(Some(found)) => judged(check, &found, Timestamp::now()),
        Ok(None) => Outcome::failed(
            check,
            "is not there: no operator has ever led",
            "is one running?",
        ),
        Err(error) => Outcome::unanswered(check, &error),
    }
}

fn judged(check: String, lease: &Lease, now: Timestamp) -> Outcome {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    if holder.is_empty() {
        return Outcome::warned(
            check,
            "nobody leads at the moment",
            "ask again in a few seconds",
        );
    }
    let renewed = spec
        .renew_time
        .map_or(i64::MAX, |at| now.as_second() - at.0.as_second());
    let lasts = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    // Two clocks are compared here, so a while more than the lease itself is granted.
    if renewed > 2 * lasts + 5 {
        return Outcome::failed(
            check,
            format!("{holder} leads, and was last heard of {renewed} s ago"),
            "is an operator running, and does it reach the API server?",
        );
    }
    Outcome::passed(check, format!("{holder} leads"))
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Status;
    use super::*;

    #[test]
    fn a_lease_that_is_not_renewed_is_nobody_s() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (holder, renewed, expected) in [
            ("a_1", 999_990, Status::Passed),
            ("a_1", 999_900, Status::Failed),
            ("", 999_999, Status::Warned),
        ] {
            let at = Timestamp::from_second(renewed).unwrap();
            let lease: Lease = serde_json::from_value(serde_json::json!({"metadata": {"name": "bulkhead-operator"},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": at.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string()}}))
            .unwrap();
            assert_eq!(
                judged("it".into(), &lease, now).status,
                expected,
                "{holder} {renewed}"
            );
        }
    }
}
