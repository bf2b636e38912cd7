//! The admission policies, each with the binding that puts it in force.

use bulkhead_crds::names::objects::{GUARD_POLICY, INJECT_POLICY, OWNED_POLICY};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};

use super::outcome::Outcome;

pub(super) const GROUP: &str = "admissionregistration.k8s.io";
const HINT: &str =
    "the operator installs it once the definitions are served: its log says what keeps it";

/// A check for each policy; for injection, by whichever engine is there.
pub(super) async fn all(client: &Client) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for name in [OWNED_POLICY, GUARD_POLICY] {
        outcomes.push(bound(client, "Validating", name).await);
    }
    outcomes.push(injection(client).await);
    outcomes
}

async fn injection(client: &Client) -> Outcome {
    let by_policy = bound(client, "Mutating", INJECT_POLICY).await;
    match find(
        client,
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        INJECT_POLICY,
    )
    .await
    {
        Ok(Some(_)) => Outcome::passed("injection", "by the webhook"),
        Ok(None) => Outcome {
            check: "injection".to_owned(),
            ..by_policy
        },
        Err(error) => Outcome::unanswered("injection", &error),
    }
}

async fn bound(client: &Client, which: &str, name: &str) -> Outcome {
    let check = format!("policy {name}");
    let lower = which.to_lowercase();
    let policy = find(
        client,
        &format!("{which}AdmissionPolicy"),
        &format!("{lower}admissionpolicies"),
        name,
    )
    .await;
    let binding = find(
        client,
        &format!("{which}AdmissionPolicyBinding"),
        &format!("{lower}admissionpolicybindings"),
        name,
    )
    .await;
    match (policy, binding) {
        (Err(error), _) | (_, Err(error)) => Outcome::unanswered(check, &error),
        (Ok(None), _) => Outcome::failed(check, "is not there", HINT),
        (Ok(Some(_)), Ok(None)) => {
            Outcome::failed(check, "is there and not in force: it has no binding", HINT)
        }
        (Ok(Some(policy)), Ok(Some(_))) => typed(check, &policy),
    }
}

/// What the API server found when it checked the policy's expressions.
fn typed(check: String, policy: &DynamicObject) -> Outcome {
    let warnings = policy
        .data
        .pointer("/status/typeChecking/expressionWarnings")
        .and_then(|it| it.as_array());
    match warnings.and_then(|all| all.first()) {
        Some(first) => {
            let told = first["warning"].as_str().unwrap_or_default();
            Outcome::warned(
                check,
                format!("in force, and the API server warns of it: {told}"),
                "report it",
            )
        }
        None => Outcome::passed(check, "in force"),
    }
}

/// An object of the admission group; a kind that the server does not have is an object that is not there.
pub(super) async fn find(
    client: &Client,
    kind: &str,
    plural: &str,
    name: &str,
) -> Result<Option<DynamicObject>, kube::Error> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", kind), plural);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    api.get_opt(name).await
}
