//! Evicts pods that were missed, where their policy asks for it (`injection.missed: Evict`): one at a time, through disruption budgets, and
//! only while their successors are sure to be injected.
//!
//! - [`plan`]: which pod may go now. Pure.
//! - [`progress`]: what has become of those that went, and what the status says of it. Pure.
//!
//! What has been in vain is remembered for a term of leading: the next leader tries each workload once more.

mod plan;
mod progress;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::kinds::{IsolationPolicy, Missed};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Client, Resource as _, ResourceExt as _};

use super::in_force::InForce;
use super::judge::Verdict;
use super::{Context, View};
use crate::index::{Index, PodFacts};
use crate::metrics::Evicted;
use plan::{Moment, Step};
pub(super) use progress::Evictions;

/// What the API server says to an eviction.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// The pod is on its way out.
    Evicted,
    /// It has gone, or is another one by now.
    Changed,
    /// A disruption budget, or the server's load, asks to try later.
    Later {
        says: String,
        after: Duration,
    },
    Failed {
        says: String,
    },
}

/// Evicts the pod of a policy that is due, if one is; says whether it tried. What goes wrong is told, and tried again later.
pub(super) async fn policy(
    context: &Context,
    view: &View,
    index: &Index,
    all: &mut BTreeMap<String, Evictions>,
    verdict: &Verdict,
    in_force: &InForce,
    now: Duration,
) -> bool {
    let name = verdict.name();
    if in_force.effective.missed != Some(Missed::Evict) {
        all.remove(&name);
        return false;
    }
    let evictions = all.entry(name.clone()).or_default();
    let force = in_force.force(verdict, &name, &view.namespace);
    let pods: Vec<&PodFacts> = index.pods.values().collect();
    let moment = Moment {
        now,
        today: Timestamp::now().as_second(),
        standing: context.standing.age(),
        interval: context.settings.eviction_interval,
    };
    let template = index.templates.get(&name);
    let is_published = template.is_some_and(|template| template.spec.hash == in_force.template);
    evictions.published(is_published.then_some(in_force.template.as_str()), now);
    if let Some(news) = evictions.look(&name, &pods, &moment) {
        context.metrics.evicted(Evicted::InVain);
        tell(
            context,
            &verdict.policy,
            EventType::Warning,
            "EvictionInVain",
            news,
            None,
        )
        .await;
    }
    let step = plan::next(&force, &pods, evictions, &moment);
    if let Step::Evict(pod) = step {
        let answer = answer(evict(&context.client, &view.namespace, pod).await);
        take(context, verdict, evictions, (pod, &pods), answer, &moment).await;
    }
    evictions.note(&force, &pods, &step, &moment);
    matches!(step, Step::Evict(_))
}

/// Remembers, counts and tells what came of an eviction.
async fn take(
    context: &Context,
    verdict: &Verdict,
    evictions: &mut Evictions,
    (pod, pods): (&PodFacts, &[&PodFacts]),
    answer: Answer,
    moment: &Moment,
) {
    let policy = &verdict.policy;
    let (outcome, says, after) = match answer {
        Answer::Changed => return evictions.changed(moment),
        Answer::Evicted => {
            context.metrics.evicted(Evicted::Evicted);
            evictions.evicted(pod, pods, moment);
            let note = format!(
                "{} was missed and has been evicted, so that {} makes it anew with the sidecar",
                pod.name,
                pod.workload
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string)
            );
            return tell(
                context,
                policy,
                EventType::Normal,
                "PodEvicted",
                note,
                Some(pod),
            )
            .await;
        }
        Answer::Later { says, after } => (Evicted::Refused, says, after),
        Answer::Failed { says } => (Evicted::Failed, says, Duration::ZERO),
    };
    context.metrics.evicted(outcome);
    if let Some(news) = evictions.refused(pod, &says, after, moment) {
        tell(
            context,
            policy,
            EventType::Warning,
            "EvictionRefused",
            news,
            Some(pod),
        )
        .await;
    }
}

/// Creates an eviction. Not by `kube`'s own `evict`, which names the options as the API server does not.
async fn evict(client: &Client, namespace: &str, pod: &PodFacts) -> Result<(), kube::Error> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let eviction = eviction(namespace, pod);
    let parameters = PostParams::default();
    let _: serde_json::Value = api
        .create_subresource("eviction", &pod.name, &parameters, &eviction)
        .await?;
    Ok(())
}

/// The eviction of this very pod: a StatefulSet's next one has the same name.
fn eviction(namespace: &str, pod: &PodFacts) -> Eviction {
    Eviction {
        metadata: ObjectMeta {
            name: Some(pod.name.clone()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        delete_options: Some(DeleteOptions {
            preconditions: Some(Preconditions {
                uid: Some(pod.uid.clone()),
                ..Preconditions::default()
            }),
            ..DeleteOptions::default()
        }),
    }
}

fn answer(outcome: Result<(), kube::Error>) -> Answer {
    let status = match outcome {
        Ok(()) => return Answer::Evicted,
        Err(kube::Error::Api(status)) => status,
        Err(error) => {
            return Answer::Failed {
                says: error.to_string(),
            };
        }
    };
    let details = status.details.as_ref();
    let causes = details.into_iter().flat_map(|details| &details.causes);
    let parts: Vec<&str> = std::iter::once(&status.message)
        .chain(causes.map(|cause| &cause.message))
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    let says = parts.join(" ");
    match status.code {
        404 | 409 => Answer::Changed,
        429 => Answer::Later {
            says,
            after: Duration::from_secs(details.map_or(0, |it| it.retry_after_seconds).into()),
        },
        _ => Answer::Failed { says },
    }
}

/// Events and log lines are for people; nothing waits or fails for them.
async fn tell(
    context: &Context,
    policy: &Arc<IsolationPolicy>,
    kind: EventType,
    reason: &str,
    note: String,
    pod: Option<&PodFacts>,
) {
    let name = policy.name_any();
    let namespace = policy.namespace();
    if kind == EventType::Warning {
        tracing::warn!(policy = name, namespace, reason, "{note}");
    } else {
        tracing::info!(policy = name, namespace, reason, "{note}");
    }
    let event = Event {
        type_: kind,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Evict".to_owned(),
        secondary: pod.map(|pod| ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.name.clone()),
            namespace: policy.namespace(),
            uid: Some(pod.uid.clone()),
            ..ObjectReference::default()
        }),
    };
    let reference = policy.object_ref(&());
    if let Err(error) = context.recorder.publish(&event, &reference).await {
        tracing::warn!(%error, policy = name, "an event could not be written");
    }
}
