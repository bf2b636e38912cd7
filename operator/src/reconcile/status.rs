//! From what has been found to a policy's `status`, and whether that says anything new. Pure, but for the writing itself.

use bulkhead_crds::conditions::{
    AcceptedReason, ConditionType, DegradedReason, ENFORCED, EnforcedReason, ProgrammedReason,
};
use bulkhead_crds::kinds::{
    Advice, Condition, ConditionStatus, IsolationPolicy, IsolationPolicyStatus, Mode, Pods, Skipped,
};
use bulkhead_crds::names::objects::MANAGER;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};

use super::compliance::{self, Terms};
use super::programmed::Tally;

/// The longest message of a condition, in bytes; the schema allows more, people read less.
const LONGEST: usize = 4096;

/// One condition, before its time is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why.
    pub reason: &'static str,
    /// Why, and what to do.
    pub message: String,
}

impl Finding {
    /// Whether the policy is accepted.
    #[must_use]
    pub fn accepted(reason: AcceptedReason, message: &str) -> Self {
        Self::of(
            ConditionType::Accepted,
            reason.is_accepted(),
            reason.as_str(),
            message,
        )
    }

    /// Whether it is programmed. A policy without pods is: there is nothing that lacks it.
    #[must_use]
    pub fn programmed(reason: ProgrammedReason, message: &str) -> Self {
        let holds = matches!(
            reason,
            ProgrammedReason::Programmed | ProgrammedReason::NoPods
        );
        Self::of(ConditionType::Programmed, holds, reason.as_str(), message)
    }

    /// Whether a way round it is open.
    #[must_use]
    pub fn degraded(reason: DegradedReason, message: &str) -> Self {
        let open = reason != DegradedReason::NoWayAround;
        Self::of(ConditionType::Degraded, open, reason.as_str(), message)
    }

    /// Whether a revocation is enforced.
    #[must_use]
    pub fn enforced(reason: EnforcedReason, message: &str) -> Self {
        Self::about(ENFORCED, reason.is_enforced(), reason.as_str(), message)
    }

    fn of(kind: ConditionType, holds: bool, reason: &'static str, message: &str) -> Self {
        Self::about(kind.as_str(), holds, reason, message)
    }

    fn about(kind: &'static str, holds: bool, reason: &'static str, message: &str) -> Self {
        Self {
            kind,
            status: if holds {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            },
            reason,
            message: cut(message),
        }
    }
}

fn cut(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let mut end = LONGEST;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}

/// What a status is made of.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The conditions, in order.
    pub conditions: Vec<Finding>,
    /// The environment.
    pub environment: String,
    /// The pods; none where the policy has none because it is not in force.
    pub tally: Option<Tally>,
    /// The mode in force; none where nothing is.
    pub mode: Option<Mode>,
    /// What would make the policy work better.
    pub advice: Vec<Advice>,
}

/// The status of a policy at `now`, given the one that it has: a condition keeps its time while it does not change sides, and what traffic
/// changes is written as `compliance` says.
#[must_use]
pub fn next(
    policy: &IsolationPolicy,
    observed: &Observed,
    now: Timestamp,
) -> IsolationPolicyStatus {
    let old = policy.status.clone().unwrap_or_default();
    let generation = policy.metadata.generation;
    let before = old.conditions.as_ref();
    let tally = observed.tally.as_ref();
    let inventory = tally
        .zip(observed.mode)
        .and_then(|(tally, mode)| compliance::inventory(tally, mode, old.inventory.as_ref(), now));
    let terms = observed.mode.map(|mode| Terms {
        environment: &observed.environment,
        mode,
    });
    IsolationPolicyStatus {
        conditions: Some(conditions(before, &observed.conditions, generation, now)),
        observed_generation: generation,
        environment: Some(observed.environment.clone()),
        pods: tally.map(pods),
        compliance: compliance::compliance(
            tally,
            terms,
            old.compliance.as_ref(),
            inventory != old.inventory,
            now,
        ),
        inventory,
        advice: (!observed.advice.is_empty()).then(|| observed.advice.clone()),
    }
}

/// The conditions at `now`, given those `before`: one keeps its time while it does not change sides.
#[must_use]
pub fn conditions(
    before: Option<&Vec<Condition>>,
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let next = findings.iter().map(|finding| {
        let mut old = before.into_iter().flatten();
        let old = old.find(|condition| condition.r#type == finding.kind);
        let since = old
            .filter(|condition| condition.status == finding.status)
            .map_or_else(
                || at(now),
                |condition| condition.last_transition_time.clone(),
            );
        Condition {
            r#type: finding.kind.to_owned(),
            status: finding.status,
            reason: finding.reason.to_owned(),
            message: finding.message.clone(),
            last_transition_time: since,
            observed_generation: generation,
        }
    });
    next.collect()
}

/// RFC 3339 in whole seconds, as Kubernetes writes times.
fn at(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn pods(tally: &Tally) -> Pods {
    let skipped: Vec<Skipped> = tally
        .skipped
        .iter()
        .map(|(reason, count)| Skipped {
            reason: reason.as_str().to_owned(),
            count: *count,
        })
        .collect();
    Pods {
        eligible: tally.eligible,
        injected: tally.injected,
        in_sync: tally.in_sync,
        skipped: (!skipped.is_empty()).then_some(skipped),
    }
}

/// Writes a status, if it is not the one that the policy has. Says whether it did.
///
/// # Errors
/// Those of the API server, but not that the policy has gone.
pub async fn write(
    client: &Client,
    policy: &IsolationPolicy,
    status: &IsolationPolicyStatus,
) -> Result<bool, kube::Error> {
    if policy.status.as_ref() == Some(status) {
        return Ok(false);
    }
    let namespace = policy.namespace().unwrap_or_default();
    let api = Api::<IsolationPolicy>::namespaced(client.clone(), &namespace);
    let patch = serde_json::json!({
        "apiVersion": "bulkhead.dev/v1alpha1",
        "kind": "IsolationPolicy",
        // A policy that was deleted and created anew in between is another one.
        "metadata": {"uid": policy.uid()},
        "status": status,
    });
    let parameters = PatchParams::apply(MANAGER).force();
    match api
        .patch_status(&policy.name_any(), &parameters, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(status: Option<IsolationPolicyStatus>) -> IsolationPolicy {
        let mut policy: IsolationPolicy = serde_json::from_value(serde_json::json!({
            "apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy",
            "metadata": {"name": "chat", "namespace": "prod", "generation": 3},
            "spec": {"selector": {}, "identity": {"source": "Trusted"}}
        }))
        .unwrap();
        policy.status = status;
        policy
    }

    fn observed(reason: ProgrammedReason, tally: Tally) -> Observed {
        Observed {
            conditions: vec![
                Finding::accepted(AcceptedReason::Accepted, "in force"),
                Finding::programmed(reason, "why"),
                Finding::degraded(DegradedReason::NoWayAround, "none"),
            ],
            environment: "production".to_owned(),
            tally: Some(tally),
            mode: Some(Mode::Audit),
            advice: Vec::new(),
        }
    }

    fn second(n: i64) -> Timestamp {
        Timestamp::from_second(n).unwrap()
    }

    fn traffic(attributed: u64, total: u64) -> Tally {
        Tally {
            eligible: 1,
            injected: 1,
            attributed,
            total,
            ..Tally::default()
        }
    }

    #[test]
    fn time_alone_changes_nothing() {
        let seen = observed(ProgrammedReason::Syncing, traffic(1, 2));
        let first = next(&policy(None), &seen, second(1));
        let later = next(&policy(Some(first.clone())), &seen, second(99));
        assert_eq!(first, later);
        assert_eq!(first.observed_generation, Some(3));
        let condition = &first.conditions.unwrap()[0];
        assert_eq!(condition.last_transition_time, "1970-01-01T00:00:01Z");
    }

    #[test]
    fn a_condition_has_a_new_time_only_when_it_changes_sides() {
        let time_of = |status: &IsolationPolicyStatus| {
            status.conditions.as_ref().unwrap()[1]
                .last_transition_time
                .clone()
        };
        let tally = traffic(0, 0);
        let first = next(
            &policy(None),
            &observed(ProgrammedReason::Syncing, tally.clone()),
            second(1),
        );
        let other_reason = observed(ProgrammedReason::RolloutPending, tally.clone());
        let second_status = next(&policy(Some(first.clone())), &other_reason, second(2));
        assert_eq!(time_of(&first), time_of(&second_status));
        let third = next(
            &policy(Some(second_status)),
            &observed(ProgrammedReason::Programmed, tally),
            second(3),
        );
        assert_eq!(time_of(&third), "1970-01-01T00:00:03Z");
    }

    #[test]
    fn traffic_of_the_same_ratio_writes_nothing() {
        let first = next(
            &policy(None),
            &observed(ProgrammedReason::Programmed, traffic(1, 2)),
            second(1),
        );
        let compliance = |status: &IsolationPolicyStatus| status.compliance.clone().unwrap();
        assert_eq!(compliance(&first).ratio.as_deref(), Some("50.0%"));
        let more = observed(ProgrammedReason::Programmed, traffic(500, 1000));
        let again = next(&policy(Some(first.clone())), &more, second(2));
        assert_eq!(first, again);
        let better = observed(ProgrammedReason::Programmed, traffic(900, 1000));
        let changed = next(&policy(Some(first)), &better, second(3));
        assert_eq!(compliance(&changed).attributed, 900);
        let none = next(
            &policy(None),
            &observed(ProgrammedReason::Programmed, traffic(0, 0)),
            second(1),
        );
        assert_eq!(compliance(&none).ratio, None);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = cut(&"é".repeat(LONGEST));
        assert!(cut.len() <= LONGEST + '…'.len_utf8() && cut.ends_with('…'));
    }
}
