//! The webhook that validates policies and revocations: the whole table of rules, every violation at once, and what is unwise as warnings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::load::nearest;
use bulkhead_crds::names::objects;
use bulkhead_crds::{Finding, IsolationPolicy, Severity, UserRevocation, revocations};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff;
use kube::api::Api;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionResponse, Operation};
use kube::core::response::{StatusCause, StatusDetails, StatusSummary, reason};
use kube::{Client, Resource as _};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::review::Asked;
use crate::settings::Settings;

/// How long to wait for the namespace's labels: they are worth a warning, and no delay.
const LABELS: Duration = Duration::from_millis(500);

/// The webhook.
pub struct Validate {
    /// To read namespaces by.
    pub client: Client,
    /// What holds for this operator.
    pub settings: Arc<Settings>,
}

/// What is wrong with an object, and what is unwise.
#[derive(Debug, Default, PartialEq, Eq)]
struct Judgement {
    errors: Vec<StatusCause>,
    warnings: Vec<String>,
}

impl Judgement {
    fn take(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            match finding.severity {
                Severity::Error => self.errors.push(cause(finding)),
                Severity::Warning => self
                    .warnings
                    .push(format!("{}: {}", finding.path, finding.message)),
            }
        }
    }
}

impl Validate {
    /// The answer to a review of a policy or a revocation.
    pub async fn answer(&self, asked: &Asked) -> AdmissionResponse {
        let response = AdmissionResponse::from(asked);
        let Some(object) = asked.object.as_ref().filter(|_| is_judged(asked)) else {
            return response;
        };
        if asked.kind.kind == UserRevocation::kind(&()) {
            return respond(response, &object.metadata.name, judge_revocation(object));
        }
        let (mut judgement, policy) = judge(object);
        if let (Some(policy), Some(namespace)) = (policy, &asked.namespace) {
            let labels = self.labels(namespace).await;
            judgement
                .warnings
                .extend(self.about_namespace(&policy, namespace, labels.as_ref()));
        }
        respond(response, &object.metadata.name, judgement)
    }

    /// The namespace's labels; none where they cannot be had in time.
    async fn labels(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = timeout(LABELS, api.get_metadata(namespace))
            .await
            .ok()?
            .ok()?;
        Some(found.metadata.labels.unwrap_or_default())
    }

    fn about_namespace(
        &self,
        policy: &IsolationPolicy,
        namespace: &str,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Vec<String> {
        if self
            .settings
            .excluded_namespaces
            .iter()
            .any(|name| name == namespace)
        {
            return vec![format!("no policy has an effect in namespace {namespace}")];
        }
        let Some(labels) = labels else {
            return Vec::new();
        };
        let mut warnings = Vec::new();
        if labels.get(objects::INJECTION).map(String::as_str) != Some(objects::ENABLED) {
            warnings.push(format!(
                "the policy has no effect until namespace {namespace} is labelled {}={}",
                objects::INJECTION,
                objects::ENABLED
            ));
        }
        let environment = labels
            .get(objects::ENVIRONMENT)
            .unwrap_or(&self.settings.default_environment);
        warnings.extend(unknown_environment(policy, namespace, environment));
        warnings
    }
}

/// Whether a review asks for a judgement. An object on its way out, or with the spec that it has already, is let through: nobody could
/// remove a label or a finalizer from one that a stricter release refuses.
fn is_judged(asked: &Asked) -> bool {
    let spec = |object: &Option<DynamicObject>| object.as_ref().map(|it| it.data["spec"].clone());
    let leaving = asked
        .object
        .as_ref()
        .is_some_and(|object| object.metadata.deletion_timestamp.is_some());
    match asked.operation {
        Operation::Create => true,
        Operation::Update => !leaving && spec(&asked.object) != spec(&asked.old_object),
        Operation::Delete | Operation::Connect => false,
    }
}

fn judge(object: &DynamicObject) -> (Judgement, Option<IsolationPolicy>) {
    let mut judgement = Judgement::default();
    let policy = match typed(object) {
        Ok(policy) => policy,
        Err(cause) => {
            judgement.errors.push(cause);
            return (judgement, None);
        }
    };
    judgement.take(bulkhead_crds::validate(&policy));
    (judgement, Some(policy))
}

/// The API server has set the time of its creation before it asks.
fn judge_revocation(object: &DynamicObject) -> Judgement {
    let mut judgement = Judgement::default();
    match typed::<UserRevocation>(object) {
        Ok(revocation) => {
            let now = jiff::Timestamp::now().into();
            judgement.take(revocations::judge(&revocation, now));
        }
        Err(cause) => judgement.errors.push(cause),
    }
    judgement
}

/// The API server has held the object against its schema; what that lets through and the types do not is told with its path.
fn typed<K: DeserializeOwned>(object: &DynamicObject) -> Result<K, StatusCause> {
    let malformed = |field: String, message: String| StatusCause {
        reason: "FieldValueInvalid".to_owned(),
        message,
        field,
    };
    let value: Value = serde_json::to_value(object)
        .map_err(|error| malformed(String::new(), error.to_string()))?;
    serde_path_to_error::deserialize(value)
        .map_err(|error| malformed(error.path().to_string(), error.inner().to_string()))
}

fn cause(finding: Finding) -> StatusCause {
    StatusCause {
        reason: finding.reason.to_owned(),
        message: finding.message,
        field: finding.path,
    }
}

/// An overlay that was meant for this namespace, by the look of it, and will not apply.
fn unknown_environment(
    policy: &IsolationPolicy,
    namespace: &str,
    environment: &str,
) -> Option<String> {
    let overlays = policy.spec.environments.as_deref().unwrap_or_default();
    let names = overlays.iter().map(|overlay| overlay.name.as_str());
    if overlays.is_empty() || names.clone().any(|name| name == environment) {
        return None;
    }
    let meant = nearest(environment, names.clone());
    let hint = meant.map_or_else(
        || {
            format!(
                "overlays are there for {}",
                names.collect::<Vec<_>>().join(", ")
            )
        },
        |meant| format!("is `{meant}` meant?"),
    );
    Some(format!(
        "spec.environments: none is called {environment}, the environment of namespace {namespace}, so the base alone applies; {hint}"
    ))
}

fn respond(
    mut response: AdmissionResponse,
    name: &Option<String>,
    judgement: Judgement,
) -> AdmissionResponse {
    if !judgement.warnings.is_empty() {
        response.warnings = Some(judgement.warnings);
    }
    if judgement.errors.is_empty() {
        return response;
    }
    let lines: Vec<String> = judgement
        .errors
        .iter()
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect();
    let mut response = response.deny(lines.join("\n"));
    // As the API server's own refusals: kubectl lists the causes, one a line.
    response.result.status = Some(StatusSummary::Failure);
    response.result.code = 422;
    response.result.reason = reason::INVALID.to_owned();
    response.result.details = Some(StatusDetails {
        name: name.clone().unwrap_or_default(),
        group: "bulkhead.dev".to_owned(),
        kind: "IsolationPolicy".to_owned(),
        causes: judgement.errors,
        uid: String::new(),
        retry_after_seconds: 0,
    });
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "bulkhead.dev/v1alpha1",
            "kind": "IsolationPolicy",
            "metadata": {"name": "chat", "namespace": "chat"},
            "spec": spec,
        }))
        .unwrap()
    }

    fn database(timeouts: Value) -> Value {
        json!({
            "selector": {"matchLabels": {"app": "chat"}},
            "identity": {"source": "Trusted"},
            "databases": [{
                "name": "main", "protocol": "PostgreSQL", "listen": {"port": 5432},
                "upstream": {"host": "db.internal", "port": 5432},
                "timeouts": timeouts,
            }],
        })
    }

    fn asked(
        operation: &str,
        object: Option<&DynamicObject>,
        old: Option<&DynamicObject>,
    ) -> Asked {
        let kind =
            json!({"group": "bulkhead.dev", "version": "v1alpha1", "kind": "IsolationPolicy"});
        let resource = json!({"group": "bulkhead.dev", "version": "v1alpha1", "resource": "isolationpolicies"});
        serde_json::from_value(json!({
            "uid": "1", "kind": kind, "resource": resource, "operation": operation,
            "userInfo": {}, "object": object, "oldObject": old,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_of_the_wrong_type_is_told_with_its_path() {
        let (judgement, policy) = judge(&object(database(json!({"statement": true}))));
        assert!(policy.is_none());
        assert_eq!(judgement.errors.len(), 1);
        assert!(
            judgement.errors[0].field.contains("timeouts.statement"),
            "{judgement:?}"
        );
    }

    #[test]
    fn an_update_that_leaves_the_spec_alone_is_not_judged() {
        let (wrong, other) = (object(json!({})), object(json!({"selector": {}})));
        let mut leaving = other.clone();
        leaving.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert!(is_judged(&asked("CREATE", Some(&wrong), None)));
        assert!(is_judged(&asked("UPDATE", Some(&wrong), Some(&other))));
        assert!(!is_judged(&asked("UPDATE", Some(&wrong), Some(&wrong))));
        assert!(!is_judged(&asked("UPDATE", Some(&leaving), Some(&wrong))));
        assert!(!is_judged(&asked("DELETE", None, Some(&wrong))));
    }

    #[test]
    fn an_overlay_that_was_meant_and_is_misspelt_is_warned_of() {
        let mut spec = database(json!({}));
        spec["environments"] = json!([{"name": "stagging"}]);
        let (_, policy) = judge(&object(spec));
        let policy = policy.unwrap();
        assert_eq!(unknown_environment(&policy, "chat", "stagging"), None);
        let warning = unknown_environment(&policy, "chat", "staging").unwrap();
        assert!(warning.contains("is `stagging` meant?"), "{warning}");
    }
}
