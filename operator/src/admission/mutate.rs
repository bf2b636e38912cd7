//! The webhook that injects, for API servers that cannot by themselves.
//!
//! Where it cannot say what a pod should be, it lets the pod through as it is: the guard, which needs nobody to be alive, refuses it where
//! its policy enforces.

use std::sync::Arc;

use bulkhead_crds::kinds::template::InjectionTemplate;
use kube::core::admission::{AdmissionResponse, Operation};
use serde_json::Value;

use super::inject::{Outcome, inject};
use super::review::Asked;
use super::templates::Templates;
use crate::metrics::{Injection, Metrics};

/// The webhook.
pub struct Mutate {
    /// What there is to inject.
    pub templates: Templates,
    /// What is counted.
    pub metrics: Metrics,
}

impl Mutate {
    /// The answer to a review of a pod.
    #[must_use]
    pub fn answer(&self, asked: &Asked) -> AdmissionResponse {
        let response = AdmissionResponse::from(asked);
        let (Some(object), Some(namespace)) = (&asked.object, &asked.namespace) else {
            return response;
        };
        if asked.operation != Operation::Create || asked.resource.resource != "pods" {
            return response;
        }
        let Some(templates) = self.templates.of(namespace) else {
            self.metrics.injected(Injection::Failed, "NoTemplatesYet");
            return warn(response, "the operator does not know its templates yet");
        };
        match serde_json::to_value(object) {
            Ok(pod) => self.patched(response, &pod, &templates),
            Err(error) => {
                self.metrics.injected(Injection::Failed, "Unreadable");
                warn(response, &error.to_string())
            }
        }
    }

    fn patched(
        &self,
        response: AdmissionResponse,
        pod: &Value,
        templates: &[Arc<InjectionTemplate>],
    ) -> AdmissionResponse {
        let injected = match inject(pod, templates) {
            Outcome::Injected { pod, .. } => pod,
            Outcome::NotSelected => return self.skipped(response, "NotSelected"),
            Outcome::Unchanged { .. } => return self.skipped(response, "AlreadyInjected"),
            Outcome::Skipped { reason, .. } => return self.skipped(response, reason.as_str()),
        };
        let answered = response
            .clone()
            .with_patch(json_patch::diff(pod, &injected));
        match answered {
            Ok(answered) => {
                self.metrics.injected(Injection::Injected, "Selected");
                answered
            }
            Err(error) => {
                self.metrics.injected(Injection::Failed, "Unwritable");
                warn(response, &error.to_string())
            }
        }
    }

    fn skipped(&self, response: AdmissionResponse, reason: &str) -> AdmissionResponse {
        self.metrics.injected(Injection::Skipped, reason);
        response
    }
}

/// The pod as it is, and why.
fn warn(mut response: AdmissionResponse, why: &str) -> AdmissionResponse {
    response.warnings = Some(vec![format!("Bulkhead has not injected the pod: {why}")]);
    response
}
