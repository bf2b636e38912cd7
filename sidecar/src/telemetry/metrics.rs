//! The registry: the process-wide families, the upstreams' handles by name, and the exposition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_crds::kinds::{Mode, Protocol, Tier};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use super::audit::AuditMetrics;
use super::certificates::{CertificateEnd, Certificates};
use super::clients::Clients;
use super::executions::Executions;
use super::inventory::Inventory;
use super::labels::{ActionOutcome, AdminAction, Attribution, protocol_label};
use super::memory::Memory;
use super::process::Process;
use super::socket::{self, SocketFamilies, SocketMetrics};
use super::striped::StripedGauge;
use super::unfinished_runs::UnfinishedRuns;
use super::upstream::{UpstreamFamilies, UpstreamMetrics, register};
use crate::execution::ExecutionState;
use crate::identity::RejectionReason;

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The labels of the protocols whose engines exist.
const PROTOCOLS: [&str; 4] = [
    protocol_label(Protocol::PostgreSQL),
    protocol_label(Protocol::Redis),
    protocol_label(Protocol::ClickHouse),
    socket::PROTOCOL,
];

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
    socket_families: SocketFamilies,
    sockets: Mutex<BTreeMap<String, Arc<SocketMetrics>>>,
    rejections: Vec<IntCounter>,
    unattributed: Vec<(&'static str, IntCounter)>,
    executions: Executions,
    admin_actions: IntCounterVec,
    policy_revision: IntGaugeVec,
    policy_info: IntGaugeVec,
    certificates: Certificates,
    /// 1 while the policy that was read last is refused.
    pub policy_rejected: IntGauge,
    /// Policies read and not taken over.
    pub policy_rejections: IntCounter,
    revocation_list: IntGaugeVec,
    /// Revocations in force.
    pub revocations: IntGauge,
    /// Lists of revocations read and not put in force.
    pub revocation_rejections: IntCounter,
    /// Bytes that are kept for resumes.
    pub resume_bytes: IntGauge,
    /// Who names their users, application by application, in mode `Audit`.
    pub inventory: Inventory,
    /// The audit trail.
    pub audit: Arc<AuditMetrics>,
    /// Runs of applications that were not completed.
    pub unfinished_runs: UnfinishedRuns,
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
        registry.register(Box::new(Memory::new()?))?;
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
            executions: Executions::register(&registry)?,
            admin_actions: admin_actions(&registry)?,
            policy_revision: int_gauges(
                &registry,
                "bulkhead_policy_revision",
                "Always 1; the label is the revision of the policy in force.",
                "revision",
            )?,
            policy_info: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "bulkhead_policy_info",
                        "Always 1; the labels are terms of the policy in force.",
                    ),
                    &["mode", "tier"],
                )?,
            )?,
            certificates: Certificates::register(&registry)?,
            policy_rejected: register(
                &registry,
                IntGauge::new(
                    "bulkhead_policy_rejected",
                    "1 while the policy that was read last is refused and an older one is in force, else 0.",
                )?,
            )?,
            policy_rejections: register(
                &registry,
                IntCounter::new(
                    "bulkhead_policy_rejections_total",
                    "Policies that were read and not taken over.",
                )?,
            )?,
            revocation_list: int_gauges(
                &registry,
                "bulkhead_revocation_list",
                "Always 1; the label is the revision of the list of revocations in force.",
                "revision",
            )?,
            revocations: register(
                &registry,
                IntGauge::new(
                    "bulkhead_revocations",
                    "Revocations of users that are in force.",
                )?,
            )?,
            revocation_rejections: register(
                &registry,
                IntCounter::new(
                    "bulkhead_revocation_list_rejections_total",
                    "Lists of revocations that were read and not put in force.",
                )?,
            )?,
            resume_bytes: register(
                &registry,
                IntGauge::new(
                    "bulkhead_websocket_resume_bytes",
                    "Bytes of messages that are kept until clients have acknowledged them (resume.totalBytes).",
                )?,
            )?,
            inventory: Inventory::register(&registry)?,
            audit: Arc::new(AuditMetrics::register(&registry)?),
            unfinished_runs: UnfinishedRuns::default(),
            upstreams: Mutex::default(),
            socket_families: SocketFamilies::register(&registry)?,
            sockets: Mutex::default(),
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

    /// The handles of the WebSocket entry `name`, made on first use. Takes a lock: resolve once and keep.
    #[must_use]
    pub fn socket(&self, name: &str) -> Arc<SocketMetrics> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let made = sockets
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(self.socket_families.handles(&self.families, name)));
        Arc::clone(made)
    }

    /// The clients of every entry, by its name: the databases', then the WebSockets'.
    #[must_use]
    pub fn clients(&self) -> Vec<(String, Arc<Clients>)> {
        let upstreams = self
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let of_upstreams = upstreams.iter().map(|(name, it)| (name, &it.clients));
        let of_sockets = sockets.iter().map(|(name, it)| (name, &it.clients));
        of_upstreams
            .chain(of_sockets)
            .map(|(name, clients)| (name.clone(), Arc::clone(clients)))
            .collect()
    }

    /// Counts a user context that was refused.
    pub fn identity_rejection(&self, reason: RejectionReason) {
        self.rejections[reason as usize].inc();
    }

    /// Counts a connection that is served without a user context.
    pub fn unattributed(&self, protocol: Protocol) {
        self.unattributed_of(protocol_label(protocol));
    }

    /// Counts a WebSocket that is served without a user context.
    pub fn unattributed_socket(&self) {
        self.unattributed_of(socket::PROTOCOL);
    }

    /// Counts a WebSocket in the inventory.
    pub fn socket_attributed(&self, attribution: Attribution) {
        let row = self.inventory.application(socket::PROTOCOL, "");
        row.connection(attribution);
    }

    fn unattributed_of(&self, protocol: &str) {
        if let Some((_, counter)) = self.unattributed.iter().find(|(p, _)| *p == protocol) {
            counter.inc();
        }
    }

    /// Counts an execution that takes the state `to`, out of `from` or new. One that has ended stays counted in the state
    /// that it ended in.
    pub fn execution(&self, from: Option<ExecutionState>, to: ExecutionState) {
        self.executions.moved(from, to);
    }

    /// The number of executions in `state`.
    #[must_use]
    pub fn executions(&self, state: ExecutionState) -> &StripedGauge {
        self.executions.in_state(state)
    }

    /// Counts what an operator has asked for.
    pub fn admin_action(&self, action: AdminAction, outcome: ActionOutcome) {
        self.admin_actions
            .with_label_values(&[action.as_str(), outcome.as_str()])
            .inc();
    }

    /// Shows `revision` as the one in force, and no other.
    pub fn policy_revision(&self, revision: &str) {
        self.policy_revision.reset();
        self.policy_revision.with_label_values(&[revision]).set(1);
    }

    /// Shows the terms of the policy in force, and no others.
    pub fn policy_terms(&self, mode: Mode, tier: Tier) {
        self.policy_info.reset();
        self.policy_info
            .with_label_values(&[mode.to_string(), tier.to_string()])
            .set(1);
    }

    /// Shows when these certificates end, and no others.
    pub fn certificates(&self, ends: &[CertificateEnd]) {
        self.certificates.show(ends);
    }

    /// Shows this list of revocations as the one in force, and no other.
    pub fn revocation_list(&self, revision: &str) {
        self.revocation_list.reset();
        self.revocation_list.with_label_values(&[revision]).set(1);
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

fn unattributed(registry: &Registry) -> prometheus::Result<Vec<(&'static str, IntCounter)>> {
    let family = int_counters(
        registry,
        "bulkhead_unattributed_total",
        "Connections served without a user context, because the mode is Audit.",
        "protocol",
    )?;
    let protocols = PROTOCOLS.iter();
    Ok(protocols
        .map(|protocol| (*protocol, family.with_label_values(&[protocol])))
        .collect())
}

fn admin_actions(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let family = register(
        registry,
        IntCounterVec::new(
            Opts::new(
                "bulkhead_admin_actions_total",
                "What operators have asked for, by what became of it.",
            ),
            &["action", "outcome"],
        )?,
    )?;
    for action in AdminAction::ALL {
        for outcome in ActionOutcome::ALL {
            // From the first moment on, at 0.
            let _ = family.with_label_values(&[action.as_str(), outcome.as_str()]);
        }
    }
    Ok(family)
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
mod tests;
