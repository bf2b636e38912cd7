//! The handles of one WebSocket entry: every series that carries its name, resolved once and then only counted.

use std::array;
use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::clients::Clients;
use super::labels::label;
use super::resumes::{ResumeFamilies, Resumes};
use super::upstream::{UpstreamFamilies, register};
use crate::execution::ExecutionState;

/// The label `protocol` of WebSockets.
pub(super) const PROTOCOL: &str = "websocket";

/// Close codes that have a label of their own: those that RFC 6455 and the IANA registry define.
const CODES: [(u16, &str); 17] = [
    (1000, "1000"),
    (1001, "1001"),
    (1002, "1002"),
    (1003, "1003"),
    (1005, "1005"),
    (1006, "1006"),
    (1007, "1007"),
    (1008, "1008"),
    (1009, "1009"),
    (1010, "1010"),
    (1011, "1011"),
    (1012, "1012"),
    (1013, "1013"),
    (1014, "1014"),
    (3000, "3000"),
    (3003, "3003"),
    (3008, "3008"),
];

label!(
    /// Which way a message went: `bulkhead_websocket_messages_total{direction}`.
    MessageDirection {
        /// From the client to the application.
        Up = "client_to_application",
        /// From the application to the client.
        Down = "application_to_client",
    }
);

label!(
    /// Who ended a socket: `bulkhead_websocket_closes_total{initiator}`.
    Initiator {
        /// The client.
        Client = "client",
        /// The application.
        Application = "application",
        /// The sidecar, for a reason of the policy's or its own.
        Sidecar = "sidecar",
    }
);

label!(
    /// What became of a client whose session lives in another pod: `bulkhead_websocket_relays_total{outcome}`.
    RelayOutcome {
        /// The other pod has taken it back, by way of this one.
        Relayed = "relayed",
        /// The other pod does not take it.
        Refused = "refused",
        /// The other pod cannot be reached.
        Unreachable = "unreachable",
        /// The other pod was reached, and does not answer.
        Silent = "silent",
    }
);

label!(
    /// What became of a critical event: `bulkhead_websocket_critical_events_total{outcome}`.
    EventOutcome {
        /// Written whole to the client.
        Delivered = "delivered",
        /// The socket ended before that.
        Lost = "lost",
    }
);

label!(
    /// What a request to renew a token came to: `bulkhead_websocket_renewals_total{outcome}`.
    RenewalOutcome {
        /// Sockets of this pod live by the fresh token.
        Renewed = "renewed",
        /// The token is good, and no socket of its user's login is open in this pod.
        NoSocket = "no_socket",
        /// The request was refused.
        Refused = "refused",
    }
);

/// The outcome of a message whose first bytes do not tell whether it is an event.
const UNSCANNED: &str = "unscanned";

/// The families of WebSockets alone.
#[derive(Debug)]
pub(super) struct SocketFamilies {
    messages: IntCounterVec,
    closes: IntCounterVec,
    critical_events: IntCounterVec,
    dropped: IntCounterVec,
    runs: IntCounterVec,
    resumes: ResumeFamilies,
    renewals: IntCounterVec,
    relays: IntCounterVec,
}

/// One entry's series.
#[derive(Debug)]
pub struct SocketMetrics {
    messages: [IntCounter; MessageDirection::ALL.len()],
    closes: IntCounterVec,
    critical_events: IntCounterVec,
    runs: IntCounterVec,
    renewals: [IntCounter; RenewalOutcome::ALL.len()],
    relays: [IntCounter; RelayOutcome::ALL.len()],
    name: String,
    /// Its sessions that survive their connection.
    pub resumes: Resumes,
    /// Its clients.
    pub clients: Arc<Clients>,
    /// Messages of the application that were left out for clients that do not read.
    pub dropped: IntCounter,
}

impl SocketFamilies {
    /// Creates and registers the families.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Self {
            messages: counter(
                "bulkhead_websocket_messages_total",
                "WebSocket messages that were relayed whole.",
                &["upstream", "direction"],
            )?,
            closes: counter(
                "bulkhead_websocket_closes_total",
                "WebSockets that have ended, by close code (1006: without a Close frame) and by who began it.",
                &["upstream", "code", "initiator"],
            )?,
            critical_events: counter(
                "bulkhead_websocket_critical_events_total",
                "Messages of the application that are critical events of the policy, by what became of them.",
                &["upstream", "event", "outcome"],
            )?,
            runs: counter(
                "bulkhead_websocket_runs_total",
                "Runs of the application that have ended, by how.",
                &["upstream", "outcome"],
            )?,
            resumes: ResumeFamilies::register(registry)?,
            renewals: counter(
                "bulkhead_websocket_renewals_total",
                "Requests to let open WebSockets live by a fresh token, by what they came to.",
                &["upstream", "outcome"],
            )?,
            relays: counter(
                "bulkhead_websocket_relays_total",
                "Clients that came back to this pod for a session that lives in another one, by what became of them.",
                &["upstream", "outcome"],
            )?,
            dropped: counter(
                "bulkhead_websocket_dropped_messages_total",
                "Messages of the application that were left out for clients that do not read (limits.slowConsumer: Drop).",
                &["upstream"],
            )?,
        })
    }

    /// The handles of one entry.
    pub(super) fn handles(&self, shared: &UpstreamFamilies, name: &str) -> SocketMetrics {
        for end in ExecutionState::ALL.iter().filter(|it| it.is_final()) {
            let _ = self.runs.with_label_values(&[name, end.as_str()]);
        }
        SocketMetrics {
            messages: array::from_fn(|at| {
                let direction = MessageDirection::ALL[at].as_str();
                self.messages.with_label_values(&[name, direction])
            }),
            closes: self.closes.clone(),
            critical_events: self.critical_events.clone(),
            runs: self.runs.clone(),
            resumes: self.resumes.handles(name),
            renewals: array::from_fn(|at| {
                let outcome = RenewalOutcome::ALL[at].as_str();
                self.renewals.with_label_values(&[name, outcome])
            }),
            relays: array::from_fn(|at| {
                let outcome = RelayOutcome::ALL[at].as_str();
                self.relays.with_label_values(&[name, outcome])
            }),
            dropped: self.dropped.with_label_values(&[name]),
            name: name.to_owned(),
            clients: Arc::new(Clients::of(shared, PROTOCOL, name)),
        }
    }
}

impl SocketMetrics {
    /// Counts messages that went one way.
    pub fn messages(&self, direction: MessageDirection, count: u64) {
        self.messages[direction as usize].inc_by(count);
    }

    /// Counts a request to renew a token.
    pub fn renewal(&self, outcome: RenewalOutcome) {
        self.renewals[outcome as usize].inc();
    }

    /// Counts a socket that has ended. Codes of applications share two labels: they are the clients' to choose.
    pub fn closed(&self, code: u16, initiator: Initiator) {
        let known = CODES.iter().find(|(known, _)| *known == code);
        let label = match (known, code) {
            (Some((_, label)), _) => *label,
            (None, 4000..=4999) => "4xxx",
            (None, 3000..=3999) => "3xxx",
            (None, _) => "other",
        };
        self.closes
            .with_label_values(&[self.name.as_str(), label, initiator.as_str()])
            .inc();
    }

    /// Counts a client whose session lives in another pod.
    pub fn relayed(&self, outcome: RelayOutcome) {
        self.relays[outcome as usize].inc();
    }

    /// Makes the series of these events, so that the first of them is seen to have come.
    pub fn expect_events(&self, events: &[String]) {
        for event in events {
            for outcome in EventOutcome::ALL {
                let _ = self.event(event, outcome.as_str());
            }
        }
        if !events.is_empty() {
            let _ = self.event("", UNSCANNED);
        }
    }

    /// Counts a critical event, by its entry in the policy.
    pub fn critical_event(&self, event: &str, outcome: EventOutcome) {
        self.event(event, outcome.as_str()).inc();
    }

    /// Counts a message of which its first bytes do not tell whether it is an event.
    pub fn unscanned(&self) {
        self.event("", UNSCANNED).inc();
    }

    fn event(&self, event: &str, outcome: &str) -> IntCounter {
        self.critical_events
            .with_label_values(&[self.name.as_str(), event, outcome])
    }

    /// Counts a run of the application that has ended so.
    pub fn run_ended(&self, how: ExecutionState) {
        self.runs
            .with_label_values(&[self.name.as_str(), how.as_str()])
            .inc();
    }
}
