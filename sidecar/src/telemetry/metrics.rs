//! The registry: the process-wide families, the upstreams' handles by name, and the exposition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_crds::kinds::Protocol;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use super::application_names::ApplicationNames;
use super::family::Family;
use super::labels::protocol_label;
use super::process::Process;
use super::striped::StripedGauge;
use super::upstream::{UpstreamFamilies, UpstreamMetrics, register};
use crate::execution::ExecutionState;
use crate::identity::RejectionReason;

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Protocols whose engines exist.
const PROTOCOLS: [Protocol; 1] = [Protocol::PostgreSQL];

/// Why the metrics could not be made or rendered: a mistake in this room, never a matter of input.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// Every metric of the sidecar.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: UpstreamFamilies,
    upstreams: Mutex<BTreeMap<String, Arc<UpstreamMetrics>>>,
    rejections: Vec<IntCounter>,
    unattributed: Vec<(Protocol, IntCounter)>,
    executions: Vec<Arc<StripedGauge>>,
    policy_revision: IntGaugeVec,
    /// Policies read and not taken over.
    pub policy_rejections: IntCounter,
    /// Connections without a user context, by application name.
    pub application_names: ApplicationNames,
}

impl Metrics {
    /// Makes every family, with all its series at 0 where their labels are known.
    ///
    /// # Errors
    ///
    /// A name or label that the prometheus crate refuses.
    pub fn new() -> Result<Arc<Self>, MetricsError> {
        let registry = Registry::new();
        let families = UpstreamFamilies::register(&registry)?;
        registry.register(Box::new(Process::new()?))?;
        let build = int_gauges(
            &registry,
            "bulkhead_build_info",
            "Always 1; the version is in the label.",
            "version",
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Arc::new(Self {
            rejections: rejections(&registry)?,
            unattributed: unattributed(&registry)?,
            executions: executions(&registry)?,
            policy_revision: int_gauges(
                &registry,
                "bulkhead_policy_revision",
                "Always 1; the label is the revision of the policy in force.",
                "revision",
            )?,
            policy_rejections: register(
                &registry,
                IntCounter::new(
                    "bulkhead_policy_rejections_total",
                    "Policies that were read and not taken over.",
                )?,
            )?,
            application_names: ApplicationNames::default(),
            upstreams: Mutex::default(),
            families,
            registry,
        }))
    }

    /// The handles of the upstream `name`, made on first use. Takes a lock: resolve once and keep.
    #[must_use]
    pub fn upstream(&self, name: &str, protocol: Protocol) -> Arc<UpstreamMetrics> {
        let mut upstreams = self
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = upstreams.get(name) {
            return Arc::clone(known);
        }
        let made = Arc::new(self.families.handles(name, protocol));
        upstreams.insert(name.to_owned(), Arc::clone(&made));
        made
    }

    /// Counts a user context that was refused.
    pub fn identity_rejection(&self, reason: RejectionReason) {
        self.rejections[reason as usize].inc();
    }

    /// Counts a connection that is served without a user context, in the metrics and by application name.
    pub fn unattributed(&self, protocol: Protocol, application_name: &str) {
        if let Some((_, counter)) = self.unattributed.iter().find(|(p, _)| *p == protocol) {
            counter.inc();
        }
        self.application_names.count(application_name);
    }

    /// Client connections that are open, of all upstreams. Takes a lock.
    #[must_use]
    pub fn client_connections(&self) -> i64 {
        let upstreams = self
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        upstreams.values().map(|of| of.connections.get()).sum()
    }

    /// Counts an execution that takes the state `to`, out of `from` or new. One that has ended stays counted in the state
    /// that it ended in.
    pub fn execution(&self, from: Option<ExecutionState>, to: ExecutionState) {
        if let Some(from) = from {
            self.executions[from as usize].dec();
        }
        self.executions[to as usize].inc();
    }

    /// The number of executions in `state`.
    #[must_use]
    pub fn executions(&self, state: ExecutionState) -> &StripedGauge {
        &self.executions[state as usize]
    }

    /// Shows `revision` as the one in force, and no other.
    pub fn policy_revision(&self, revision: &str) {
        self.policy_revision.reset();
        self.policy_revision.with_label_values(&[revision]).set(1);
    }

    /// The exposition in Prometheus' text format 0.0.4.
    ///
    /// # Errors
    ///
    /// A family that the encoder refuses.
    pub fn render(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

fn rejections(registry: &Registry) -> prometheus::Result<Vec<IntCounter>> {
    let family = int_counters(
        registry,
        "bulkhead_identity_rejections_total",
        "User contexts that were refused, by reason.",
        "reason",
    )?;
    let reasons = RejectionReason::ALL.iter();
    Ok(reasons
        .map(|reason| family.with_label_values(&[reason.as_str()]))
        .collect())
}

fn unattributed(registry: &Registry) -> prometheus::Result<Vec<(Protocol, IntCounter)>> {
    let family = int_counters(
        registry,
        "bulkhead_unattributed_total",
        "Connections served without a user context, because the mode is Audit.",
        "protocol",
    )?;
    let protocols = PROTOCOLS.iter();
    Ok(protocols
        .map(|protocol| {
            (
                *protocol,
                family.with_label_values(&[protocol_label(*protocol)]),
            )
        })
        .collect())
}

fn executions(registry: &Registry) -> prometheus::Result<Vec<Arc<StripedGauge>>> {
    let family = Family::register(
        registry,
        "bulkhead_executions",
        "Executions: how many are in each of the first four states, how many have ended in each of the last five.",
        &["state"],
    )?;
    let states = ExecutionState::ALL.iter();
    Ok(states
        .map(|state| family.cell(&[state.as_str()], StripedGauge::default))
        .collect())
}

fn int_counters(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> prometheus::Result<IntCounterVec> {
    register(
        registry,
        IntCounterVec::new(Opts::new(name, help), &[label])?,
    )
}

fn int_gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> prometheus::Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), &[label])?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::telemetry::{BreakerState, ConnectionOutcome, ErrorClass, ServerState, TimeoutKind};

    fn fed() -> Arc<Metrics> {
        let metrics = Metrics::new().expect("names are legal");
        let main = metrics.upstream("main", Protocol::PostgreSQL);
        main.connection(ConnectionOutcome::Accepted);
        main.timeout(TimeoutKind::Statement);
        main.error(ErrorClass::Deadlock);
        main.server_connections(ServerState::Idle).inc();
        main.query_seconds.observe(0.003);
        main.breaker(BreakerState::Open);
        metrics.unattributed(Protocol::PostgreSQL, "nightly report");
        metrics.identity_rejection(RejectionReason::Placeholder);
        metrics.executions(ExecutionState::Running).inc();
        metrics.policy_revision("a1b2");
        metrics
    }

    #[test]
    fn every_series_of_an_upstream_exists_at_zero_before_anything_happens() {
        let metrics = Metrics::new().expect("names are legal");
        let _ = metrics.upstream("main", Protocol::PostgreSQL);

        let text = metrics.render().expect("renders");
        for outcome in ConnectionOutcome::ALL {
            let outcome = outcome.as_str();
            assert_has(
                &text,
                &format!(
                    "bulkhead_connections_total{{outcome=\"{outcome}\",protocol=\"postgresql\",upstream=\"main\"}} 0"
                ),
            );
        }
        for kind in TimeoutKind::ALL {
            let kind = kind.as_str();
            assert_has(
                &text,
                &format!("bulkhead_timeouts_total{{kind=\"{kind}\",upstream=\"main\"}} 0"),
            );
        }
        for class in ErrorClass::ALL {
            let class = class.as_str();
            assert_has(
                &text,
                &format!("bulkhead_errors_total{{class=\"{class}\",upstream=\"main\"}} 0"),
            );
        }
        for reason in RejectionReason::ALL {
            let reason = reason.as_str();
            assert_has(
                &text,
                &format!("bulkhead_identity_rejections_total{{reason=\"{reason}\"}} 0"),
            );
        }
        for state in ExecutionState::ALL {
            assert_has(
                &text,
                &format!("bulkhead_executions{{state=\"{state}\"}} 0"),
            );
        }
        for line in [
            "bulkhead_connections{protocol=\"postgresql\",upstream=\"main\"} 0",
            "bulkhead_factories{upstream=\"main\"} 0",
            "bulkhead_factories_created_total{upstream=\"main\"} 0",
            "bulkhead_server_connections{state=\"spare\",upstream=\"main\"} 0",
            "bulkhead_acquire_seconds_count{upstream=\"main\"} 0",
            "bulkhead_connect_seconds_count{upstream=\"main\"} 0",
            "bulkhead_query_seconds_count{upstream=\"main\"} 0",
            "bulkhead_cross_user_handoffs_total{upstream=\"main\"} 0",
            "bulkhead_evictions_total{upstream=\"main\"} 0",
            "bulkhead_breaker_state{upstream=\"main\"} 0",
            "bulkhead_unattributed_total{protocol=\"postgresql\"} 0",
            "bulkhead_policy_rejections_total 0",
        ] {
            assert_has(&text, line);
        }
    }

    #[test]
    fn what_was_counted_is_shown() {
        let text = fed().render().expect("renders");
        for line in [
            "bulkhead_timeouts_total{kind=\"statement\",upstream=\"main\"} 1",
            "bulkhead_errors_total{class=\"deadlock\",upstream=\"main\"} 1",
            "bulkhead_query_seconds_bucket{upstream=\"main\",le=\"0.0025\"} 0",
            "bulkhead_query_seconds_bucket{upstream=\"main\",le=\"0.005\"} 1",
            "bulkhead_breaker_state{upstream=\"main\"} 2",
            "bulkhead_unattributed_total{protocol=\"postgresql\"} 1",
            "bulkhead_policy_revision{revision=\"a1b2\"} 1",
        ] {
            assert_has(&text, line);
        }
        assert!(
            !text.contains("nightly report"),
            "application names are no label"
        );
    }

    #[test]
    fn an_execution_is_counted_where_it_is_and_then_where_it_ended() {
        use ExecutionState::{Completed, Completing, Pending, Running, Starting};
        let metrics = Metrics::new().expect("names are legal");
        let mut from = None;
        for to in [Pending, Starting, Running, Completing, Completed] {
            metrics.execution(from, to);
            assert_eq!(metrics.executions(to).get(), 1);
            from = Some(to);
        }
        for left in [Pending, Starting, Running, Completing] {
            assert_eq!(metrics.executions(left).get(), 0);
        }
    }

    #[test]
    fn client_connections_are_those_of_all_upstreams() {
        let metrics = Metrics::new().expect("names are legal");
        let main = metrics.upstream("main", Protocol::PostgreSQL);
        let jobs = metrics.upstream("jobs", Protocol::PostgreSQL);
        main.connections.inc();
        jobs.connections.inc();
        jobs.connections.inc();
        assert_eq!(metrics.client_connections(), 3);
    }

    #[test]
    fn only_the_newest_revision_is_shown() {
        let metrics = fed();
        metrics.policy_revision("c3d4");
        let text = metrics.render().expect("renders");
        assert_has(&text, "bulkhead_policy_revision{revision=\"c3d4\"} 1");
        assert!(!text.contains("a1b2"));
    }

    #[test]
    fn handles_of_one_upstream_are_the_same_handles() {
        let metrics = fed();
        let again = metrics.upstream("main", Protocol::PostgreSQL);
        again.timeout(TimeoutKind::Statement);
        assert_has(
            &metrics.render().expect("renders"),
            "bulkhead_timeouts_total{kind=\"statement\",upstream=\"main\"} 2",
        );
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let metrics = fed();
        for family in metrics.registry.gather() {
            let (name, kind) = (family.name(), format!("{:?}", family.get_field_type()));
            assert!(!family.help().is_empty(), "{name} has no help");
            assert!(family.help().ends_with('.'), "{name}: help is a sentence");
            let ours = name.starts_with("bulkhead_") || name.starts_with("process_");
            assert!(ours, "{name} has no prefix");
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{name} is not in snake case"
            );
            let total = name.ends_with("_total");
            assert_eq!(total, kind == "COUNTER", "{name} is a {kind}");
            if kind == "HISTOGRAM" {
                assert!(name.ends_with("_seconds"), "{name} has no unit");
            }
            for unit in [
                "_ms", "_millis", "_kb", "_minutes", "_count", "_sum", "_bucket",
            ] {
                assert!(!name.ends_with(unit), "{name} ends with {unit}");
            }
            for metric in family.get_metric() {
                for label in metric.get_label() {
                    assert!(!label.name().contains("user"), "{name} names users");
                }
            }
        }
    }

    #[test]
    fn every_metric_and_label_value_is_documented() {
        const PAGE: &str = include_str!("../../../docs/metrics.md");
        let documented = |word: &str| PAGE.contains(&format!("`{word}`"));
        for family in fed().registry.gather() {
            assert!(documented(family.name()), "{} is not", family.name());
            let labels = family.get_metric().iter().flat_map(|m| m.get_label());
            for label in labels.filter(|label| !FREE_LABELS.contains(&label.name())) {
                let value = label.value();
                assert!(documented(value), "{} {value} is not", label.name());
            }
        }
    }

    /// Labels whose values the policy or the build decides.
    const FREE_LABELS: [&str; 3] = ["upstream", "revision", "version"];

    /// Skipped where Prometheus' own tool is not installed; the table above then stands alone.
    #[test]
    fn promtool_finds_nothing_to_mend() {
        let Ok(mut promtool) = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        else {
            return;
        };
        let text = fed().render().expect("renders");
        let mut stdin = promtool.stdin.take().expect("piped");
        stdin.write_all(text.as_bytes()).expect("promtool reads");
        drop(stdin);
        let output = promtool.wait_with_output().expect("promtool ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "promtool: {said}");
    }

    fn assert_has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
    }
}
