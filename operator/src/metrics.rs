//! The operator's metrics, in a registry of their own.
//!
//! Never a user id or a pod's name as a label.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead_crds::conditions::EnforcedReason;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// What a review's answer took: the API server is on loopback or a network hop away, and waits 2 to 5 s.
const ADMISSION_BUCKETS: [f64; 12] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 5.0,
];

/// How reconciling a policy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciled {
    /// Something was written.
    Changed,
    /// All was as it should be.
    Unchanged,
    /// It will be tried again.
    Failed,
}

/// What came of a pod that came by the webhook for injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// It has the sidecar now.
    Injected,
    /// It is left as it was.
    Skipped,
    /// It is refused.
    Refused,
    /// The review could not be answered.
    Failed,
}

/// What came of the eviction of a pod that had been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evicted {
    /// It is on its way out.
    Evicted,
    /// The API server asks to try later: a disruption budget, as a rule.
    Refused,
    /// It went wrong in another way.
    Failed,
    /// Its successor came up without the sidecar too.
    InVain,
}

impl Evicted {
    const ALL: [Self; 4] = [Self::Evicted, Self::Refused, Self::Failed, Self::InVain];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::InVain => "in_vain",
        }
    }
}

/// How many pods of a policy are how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// The policy selects them.
    pub eligible: u32,
    /// They have the sidecar.
    pub injected: u32,
    /// Their sidecar has the policy's revision in force.
    pub in_sync: u32,
    /// They have no sidecar, for reasons that the status tells.
    pub skipped: u32,
    /// Those of them that the policy does not let go without.
    pub uninjected: u32,
}

impl Pods {
    const STATES: [&str; 5] = ["eligible", "injected", "in_sync", "skipped", "uninjected"];

    const fn counts(self) -> [u32; 5] {
        [
            self.eligible,
            self.injected,
            self.in_sync,
            self.skipped,
            self.uninjected,
        ]
    }
}

/// The metrics; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    injections: IntCounterVec,
    admission: HistogramVec,
    reconciles: IntCounterVec,
    compliance: GaugeVec,
    pods: IntGaugeVec,
    revocations: IntGaugeVec,
    evictions: IntCounterVec,
    leader: IntGauge,
    certificate_expiry: Gauge,
    drift: IntCounterVec,
}

impl Metrics {
    /// A registry with all of them.
    ///
    /// # Errors
    /// None in practice: the names are fixed and legal.
    pub fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            injections: IntCounterVec::new(
                Opts::new(
                    "bulkhead_operator_injections_total",
                    "Pods that came by the webhook for injection.",
                ),
                &["outcome", "reason"],
            )?,
            admission: HistogramVec::new(
                HistogramOpts::new(
                    "bulkhead_operator_admission_seconds",
                    "From the end of an admission review's body to its answer.",
                )
                .buckets(ADMISSION_BUCKETS.to_vec()),
                &["webhook"],
            )?,
            reconciles: IntCounterVec::new(
                Opts::new("bulkhead_operator_reconciles_total", "Policies reconciled."),
                &["outcome"],
            )?,
            compliance: GaugeVec::new(
                Opts::new(
                    "bulkhead_operator_compliance_ratio",
                    "The share of a policy's connections that named their user.",
                ),
                &["namespace", "policy"],
            )?,
            pods: IntGaugeVec::new(
                Opts::new(
                    "bulkhead_operator_pods",
                    "Pods that a policy selects, by how far the sidecar has come with them.",
                ),
                &["namespace", "policy", "state"],
            )?,
            revocations: IntGaugeVec::new(
                Opts::new(
                    "bulkhead_operator_revocations",
                    "Revocations of users, by the reason of their condition Enforced.",
                ),
                &["namespace", "reason"],
            )?,
            evictions: IntCounterVec::new(
                Opts::new(
                    "bulkhead_operator_evictions_total",
                    "Evictions of pods that had been missed, by what came of them.",
                ),
                &["outcome"],
            )?,
            leader: IntGauge::new(
                "bulkhead_operator_leader",
                "1 while this replica is the leader.",
            )?,
            certificate_expiry: Gauge::new(
                "bulkhead_operator_certificate_expiry_timestamp_seconds",
                "When the certificate that the webhooks show expires, as a Unix time.",
            )?,
            drift: IntCounterVec::new(
                Opts::new(
                    "bulkhead_operator_repairs_total",
                    "Objects in the API server that were not, or no longer, as the operator had installed them, and were written.",
                ),
                &["kind"],
            )?,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let build = IntGauge::with_opts(
            Opts::new("bulkhead_operator_build_info", "The operator's version.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        self.registry.register(Box::new(build))?;
        self.registry.register(Box::new(self.injections.clone()))?;
        self.registry.register(Box::new(self.admission.clone()))?;
        self.registry.register(Box::new(self.reconciles.clone()))?;
        self.registry.register(Box::new(self.compliance.clone()))?;
        self.registry.register(Box::new(self.pods.clone()))?;
        self.registry.register(Box::new(self.revocations.clone()))?;
        self.registry.register(Box::new(self.evictions.clone()))?;
        for outcome in Evicted::ALL {
            self.evictions.with_label_values(&[outcome.as_str()]);
        }
        self.registry.register(Box::new(self.leader.clone()))?;
        self.registry
            .register(Box::new(self.certificate_expiry.clone()))?;
        self.registry.register(Box::new(self.drift.clone()))?;
        Ok(())
    }

    /// A policy has been reconciled.
    pub fn reconciled(&self, outcome: Reconciled) {
        let outcome = match outcome {
            Reconciled::Changed => "changed",
            Reconciled::Unchanged => "unchanged",
            Reconciled::Failed => "failed",
        };
        self.reconciles.with_label_values(&[outcome]).inc();
    }

    /// The share (0 to 1) of the connections that a policy's sidecars have had which named their user.
    pub fn compliance(&self, namespace: &str, policy: &str, ratio: f64) {
        self.compliance
            .with_label_values(&[namespace, policy])
            .set(ratio);
    }

    /// How far the sidecar has come with a policy's pods.
    pub fn pods(&self, namespace: &str, policy: &str, pods: Pods) {
        for (state, count) in Pods::STATES.into_iter().zip(pods.counts()) {
            self.pods
                .with_label_values(&[namespace, policy, state])
                .set(count.into());
        }
    }

    /// A policy is not in force, and has no pods then.
    pub fn forget_pods(&self, namespace: &str, policy: &str) {
        for state in Pods::STATES {
            let _ = self.pods.remove_label_values(&[namespace, policy, state]);
        }
    }

    /// How many revocations of a namespace have come to what.
    pub fn revocations(&self, namespace: &str, counts: &BTreeMap<EnforcedReason, u32>) {
        for reason in EnforcedReason::ALL {
            let labels = [namespace, reason.as_str()];
            match counts.get(reason) {
                Some(count) => {
                    let gauge = self.revocations.with_label_values(&labels);
                    gauge.set(i64::from(*count));
                }
                // Not there is as good as removed.
                None => drop(self.revocations.remove_label_values(&labels)),
            }
        }
    }

    /// A pod was to be evicted, or its successor has come up.
    pub fn evicted(&self, outcome: Evicted) {
        self.evictions.with_label_values(&[outcome.as_str()]).inc();
    }

    /// A policy is gone, and so are its share and its pods.
    pub fn forget(&self, namespace: &str, policy: &str) {
        self.forget_share(namespace, policy);
        self.forget_pods(namespace, policy);
    }

    /// A policy's sidecars have had no connections yet of which there could be a share.
    pub fn forget_share(&self, namespace: &str, policy: &str) {
        // Not there is as good as removed.
        let _ = self.compliance.remove_label_values(&[namespace, policy]);
    }

    /// No policy's share and pods and no revocation is this replica's to tell any more: another one leads.
    pub fn forget_all(&self) {
        self.pods.reset();
        self.compliance.reset();
        self.revocations.reset();
    }

    /// A pod came by the webhook for injection; `reason` is a word of a closed list.
    pub fn injected(&self, outcome: Injection, reason: &str) {
        let outcome = match outcome {
            Injection::Injected => "injected",
            Injection::Skipped => "skipped",
            Injection::Refused => "refused",
            Injection::Failed => "failed",
        };
        self.injections.with_label_values(&[outcome, reason]).inc();
    }

    /// A review was answered.
    pub fn admitted(&self, webhook: &str, took: Duration) {
        self.admission
            .with_label_values(&[webhook])
            .observe(took.as_secs_f64());
    }

    /// An object of this kind had to be written.
    pub fn repaired(&self, kind: &str) {
        self.drift.with_label_values(&[kind]).inc();
    }

    /// Whether this replica leads.
    pub fn leading(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// When the certificate that is shown expires, in seconds since 1970.
    pub fn certificate_expires(&self, at: i64) {
        // Seconds of this century are whole numbers in a float.
        self.certificate_expiry.set(at as f64);
    }

    /// All of them, in Prometheus' text format.
    ///
    /// # Errors
    /// None in practice: every family has a name and samples of one type.
    pub fn expose(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_is_gone_leaves_no_sample_behind() {
        let metrics = Metrics::new().unwrap();
        metrics.compliance("chat", "main", 0.5);
        let pods = Pods {
            eligible: 3,
            injected: 2,
            ..Pods::default()
        };
        metrics.pods("chat", "main", pods);
        let text = metrics.expose().unwrap();
        for (state, count) in [("eligible", 3), ("injected", 2), ("in_sync", 0)] {
            let sample = format!(
                r#"bulkhead_operator_pods{{namespace="chat",policy="main",state="{state}"}} {count}"#
            );
            assert!(text.contains(&sample), "{text}");
        }
        let sample = r#"compliance_ratio{namespace="chat",policy="main"} 0.5"#;
        assert!(metrics.expose().unwrap().contains(sample));
        metrics.forget("chat", "main");
        metrics.forget("chat", "main");
        assert!(!metrics.expose().unwrap().contains("policy=\"main\""));
    }

    #[test]
    fn a_clone_counts_into_the_same_registry() {
        let metrics = Metrics::new().unwrap();
        metrics.clone().reconciled(Reconciled::Failed);
        let text = metrics.expose().unwrap();
        assert!(text.contains(r#"bulkhead_operator_reconciles_total{outcome="failed"} 1"#));
        assert!(text.contains(r#"bulkhead_operator_build_info{version=""#));
    }
}
