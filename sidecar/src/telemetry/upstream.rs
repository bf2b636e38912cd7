//! The handles of one upstream: every series that carries its name, resolved once and then only counted.

use std::array;
use std::sync::Arc;

use bulkhead_crds::kinds::Protocol;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::clients::Clients;
use super::family::Family;
use super::labels::{
    BreakerScope, BreakerState, ConnectionOutcome, ErrorClass, RetirementReason, ServerState,
    SwitchOutcome, TimeoutKind, protocol_label,
};
use super::striped::{StripedGauge, StripedHistogram};

/// Seconds; waiting for a permit is a matter of microseconds until the limit is reached.
const ACQUIRE_BUCKETS: [f64; 15] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Seconds; up to the 35 s that a managed database may need.
const CONNECT_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 35.0,
];

/// Seconds; from a primary key look-up to a report.
const QUERY_BUCKETS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 60.0,
];

/// The families whose series carry an upstream's name.
#[derive(Debug)]
pub(super) struct UpstreamFamilies {
    connections_total: IntCounterVec,
    connections: IntGaugeVec,
    revoked: IntCounterVec,
    factories: IntGaugeVec,
    factories_created: IntCounterVec,
    server_connections: Family<StripedGauge>,
    connections_limit: IntGaugeVec,
    waiting: IntGaugeVec,
    acquire_seconds: Family<StripedHistogram>,
    connect_seconds: Family<StripedHistogram>,
    query_seconds: Family<StripedHistogram>,
    timeouts: IntCounterVec,
    errors: IntCounterVec,
    cross_user_handoffs: IntCounterVec,
    evictions: IntCounterVec,
    fixed_parameters: IntCounterVec,
    servers_retired: IntCounterVec,
    user_switches: IntCounterVec,
    breaker_state: IntGaugeVec,
    user_breakers: IntGaugeVec,
    breaker_opens: IntCounterVec,
    breaker_refusals: IntCounterVec,
}

/// One upstream's series. Cheap to share, free of look-ups; each count is one or two atomic operations.
#[derive(Debug)]
pub struct UpstreamMetrics {
    server_connections: [Arc<StripedGauge>; ServerState::ALL.len()],
    errors: [IntCounter; ErrorClass::ALL.len()],
    user_switches: [IntCounter; SwitchOutcome::ALL.len()],
    servers_retired: [IntCounter; RetirementReason::ALL.len()],
    breaker_state: IntGauge,
    user_breakers: [IntGauge; BreakerState::ALL.len()],
    breaker_opens: [IntCounter; BreakerScope::ALL.len()],
    breaker_refusals: [IntCounter; BreakerScope::ALL.len()],
    /// Its clients.
    pub clients: Arc<Clients>,
    /// Connection factories alive now.
    pub factories: IntGauge,
    /// Connection factories created since the start.
    pub factories_created: IntCounter,
    /// How many server connections there may be; the limiter's own.
    pub connections_limit: IntGauge,
    /// Clients that wait for a server connection; the limiter's own.
    pub waiting: IntGauge,
    /// Seconds from asking for a server connection to holding one; the dial is not in it.
    pub acquire_seconds: Arc<StripedHistogram>,
    /// Seconds to a connected and authenticated server connection.
    pub connect_seconds: Arc<StripedHistogram>,
    /// Seconds from the first byte forwarded to `ReadyForQuery`.
    pub query_seconds: Arc<StripedHistogram>,
    /// Server connections given to another user than their last; 0 by construction under `Dedicated`.
    pub cross_user_handoffs: IntCounter,
    /// Idle server connections closed to make room for a waiting user.
    pub evictions: IntCounter,
    /// Attempts to set what `session.fixedParameters` names.
    pub fixed_parameters: IntCounter,
}

impl UpstreamMetrics {
    /// Counts a client connection whose handshake is over.
    pub fn connection(&self, outcome: ConnectionOutcome) {
        self.clients.connection(outcome);
        if outcome == ConnectionOutcome::Limited {
            self.clients.notice("limit", |upstream, left_out| {
                tracing::warn!(
                    upstream,
                    left_out,
                    "a client is refused at its login: a limit is reached, or the upstream gives no connection"
                );
            });
        }
    }

    /// The number of server connections in `state`.
    #[must_use]
    pub fn server_connections(&self, state: ServerState) -> &StripedGauge {
        &self.server_connections[state as usize]
    }

    /// Counts a timeout that fired.
    pub fn timeout(&self, kind: TimeoutKind) {
        self.clients.timeout(kind);
        if kind == TimeoutKind::Acquire {
            self.clients.notice("acquire", |upstream, left_out| {
                tracing::warn!(
                    upstream,
                    left_out,
                    "work is refused: no server connection became free within timeouts.acquire"
                );
            });
        }
    }

    /// Counts an error that a user's work ended with.
    pub fn error(&self, class: ErrorClass) {
        self.errors[class as usize].inc();
    }

    /// Errors of all classes.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.iter().map(IntCounter::get).sum()
    }

    /// Counts a user that a client has named in SQL.
    pub fn user_switch(&self, outcome: SwitchOutcome) {
        self.user_switches[outcome as usize].inc();
    }

    /// Counts a server connection that is closed before its time.
    pub fn server_retired(&self, reason: RetirementReason) {
        self.servers_retired[reason as usize].inc();
    }

    /// Shows the state of the upstream's breaker.
    pub fn breaker(&self, state: BreakerState) {
        self.breaker_state.set(state as i64);
    }

    /// Users whose breaker is in `state`; closed ones are not counted.
    #[must_use]
    pub fn user_breakers(&self, state: BreakerState) -> &IntGauge {
        &self.user_breakers[state as usize]
    }

    /// Counts a breaker that has opened.
    pub fn breaker_opened(&self, scope: BreakerScope) {
        self.breaker_opens[scope as usize].inc();
    }

    /// Counts work that a breaker refuses, or in mode `Audit` would refuse.
    pub fn breaker_refused(&self, scope: BreakerScope) {
        self.breaker_refusals[scope as usize].inc();
    }
}

impl UpstreamFamilies {
    /// Creates and registers the families.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let histogram =
            |name: &str, help: &str| Family::register(registry, name, help, &["upstream"]);
        Ok(Self {
            connections_total: counter(
                "bulkhead_connections_total",
                "Client connections, by what became of them.",
                &["protocol", "upstream", "outcome"],
            )?,
            connections: gauge(
                "bulkhead_connections",
                "Client connections that are open.",
                &["protocol", "upstream"],
            )?,
            revoked: counter(
                "bulkhead_revoked_sessions_total",
                "Client connections that were ended because their user was revoked.",
                &["protocol", "upstream"],
            )?,
            factories: gauge(
                "bulkhead_factories",
                "Connection factories that are alive, one for each user.",
                &["upstream"],
            )?,
            factories_created: counter(
                "bulkhead_factories_created_total",
                "Connection factories created.",
                &["upstream"],
            )?,
            server_connections: Family::register(
                registry,
                "bulkhead_server_connections",
                "Connections to the upstream, by state.",
                &["upstream", "state"],
            )?,
            connections_limit: gauge(
                "bulkhead_server_connections_limit",
                "How many connections to the upstream this process may have: its share of pool.maxConnections.",
                &["upstream"],
            )?,
            waiting: gauge(
                "bulkhead_waiting_clients",
                "Clients that wait for a connection to the upstream.",
                &["upstream"],
            )?,
            acquire_seconds: histogram(
                "bulkhead_acquire_seconds",
                "Time that clients waited for a permit to use a server connection.",
            )?,
            connect_seconds: histogram(
                "bulkhead_connect_seconds",
                "Time to a connected and authenticated server connection.",
            )?,
            query_seconds: histogram(
                "bulkhead_query_seconds",
                "Time from the first byte forwarded to the server's readiness for more.",
            )?,
            timeouts: counter(
                "bulkhead_timeouts_total",
                "Timeouts that fired, by kind.",
                &["upstream", "kind"],
            )?,
            errors: counter(
                "bulkhead_errors_total",
                "Errors that users' work ended with, by class.",
                &["upstream", "class"],
            )?,
            cross_user_handoffs: counter(
                "bulkhead_cross_user_handoffs_total",
                "Server connections given to another user than their last.",
                &["upstream"],
            )?,
            evictions: counter(
                "bulkhead_evictions_total",
                "Idle server connections closed to make room for a waiting user.",
                &["upstream"],
            )?,
            fixed_parameters: counter(
                "bulkhead_fixed_parameter_changes_total",
                "Attempts of clients to set a parameter that the policy fixes; in mode Audit they were let through.",
                &["upstream"],
            )?,
            servers_retired: counter(
                "bulkhead_servers_retired_total",
                "Server connections closed before their time, because where they lead is not the right place any more.",
                &["upstream", "reason"],
            )?,
            user_switches: counter(
                "bulkhead_user_switches_total",
                "Users that clients named in SQL, by what became of that.",
                &["upstream", "outcome"],
            )?,
            breaker_state: gauge(
                "bulkhead_breaker_state",
                "State of the upstream's breaker: 0 closed, 1 half open, 2 open.",
                &["upstream"],
            )?,
            user_breakers: gauge(
                "bulkhead_user_breakers",
                "Users whose own breaker is not closed, by state.",
                &["upstream", "state"],
            )?,
            breaker_opens: counter(
                "bulkhead_breaker_opens_total",
                "Breakers that have opened, by whose they are.",
                &["upstream", "scope"],
            )?,
            breaker_refusals: counter(
                "bulkhead_breaker_refusals_total",
                "Work that a breaker refused, or in mode Audit would have refused.",
                &["upstream", "scope"],
            )?,
        })
    }

    /// The counter of what became of connections.
    pub(super) fn outcome(
        &self,
        protocol: &str,
        name: &str,
        outcome: ConnectionOutcome,
    ) -> IntCounter {
        self.connections_total
            .with_label_values(&[protocol, name, outcome.as_str()])
    }

    /// The counter of a timeout.
    pub(super) fn timeout(&self, name: &str, kind: TimeoutKind) -> IntCounter {
        self.timeouts.with_label_values(&[name, kind.as_str()])
    }

    /// The counter of connections that a revocation has ended.
    pub(super) fn revoked(&self, protocol: &str, name: &str) -> IntCounter {
        self.revoked.with_label_values(&[protocol, name])
    }

    /// The gauge of open connections.
    pub(super) fn open(&self, protocol: &str, name: &str) -> IntGauge {
        self.connections.with_label_values(&[protocol, name])
    }

    /// The gauges of users' breakers; the closed ones, which nobody counts, have no series.
    fn user_breakers(&self, name: &str) -> [IntGauge; BreakerState::ALL.len()] {
        let closed = IntGauge::new("closed", "closed").ok();
        array::from_fn(|at| match (BreakerState::ALL[at], &closed) {
            (BreakerState::Closed, Some(closed)) => closed.clone(),
            (state, _) => self
                .user_breakers
                .with_label_values(&[name, state.as_str()]),
        })
    }

    /// The handles of one upstream; every series of it exists, at 0, from here on.
    pub(super) fn handles(&self, name: &str, protocol: Protocol) -> UpstreamMetrics {
        let protocol = protocol_label(protocol);
        let one = [name];
        UpstreamMetrics {
            server_connections: array::from_fn(|at| {
                self.server_connections.cell(
                    &[name, ServerState::ALL[at].as_str()],
                    StripedGauge::default,
                )
            }),
            errors: array::from_fn(|at| {
                self.errors
                    .with_label_values(&[name, ErrorClass::ALL[at].as_str()])
            }),
            user_switches: array::from_fn(|at| {
                self.user_switches
                    .with_label_values(&[name, SwitchOutcome::ALL[at].as_str()])
            }),
            servers_retired: array::from_fn(|at| {
                self.servers_retired
                    .with_label_values(&[name, RetirementReason::ALL[at].as_str()])
            }),
            breaker_state: self.breaker_state.with_label_values(&one),
            user_breakers: self.user_breakers(name),
            breaker_opens: scopes(&self.breaker_opens, name),
            breaker_refusals: scopes(&self.breaker_refusals, name),
            clients: Arc::new(Clients::of(self, protocol, name)),
            factories: self.factories.with_label_values(&one),
            factories_created: self.factories_created.with_label_values(&one),
            connections_limit: self.connections_limit.with_label_values(&one),
            waiting: self.waiting.with_label_values(&one),
            acquire_seconds: self
                .acquire_seconds
                .cell(&one, || StripedHistogram::new(&ACQUIRE_BUCKETS)),
            connect_seconds: self
                .connect_seconds
                .cell(&one, || StripedHistogram::new(&CONNECT_BUCKETS)),
            query_seconds: self
                .query_seconds
                .cell(&one, || StripedHistogram::new(&QUERY_BUCKETS)),
            cross_user_handoffs: self.cross_user_handoffs.with_label_values(&one),
            evictions: self.evictions.with_label_values(&one),
            fixed_parameters: self.fixed_parameters.with_label_values(&one),
        }
    }
}

fn scopes(family: &IntCounterVec, name: &str) -> [IntCounter; BreakerScope::ALL.len()] {
    array::from_fn(|at| family.with_label_values(&[name, BreakerScope::ALL[at].as_str()]))
}

/// Registers a family and hands it back.
pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    family: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
