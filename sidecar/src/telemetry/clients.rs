//! The clients of one entry, whatever they speak: what became of each, whether any is there, which clocks ran out.

use std::array;
use std::time::Duration;

use prometheus::{IntCounter, IntGauge};

use super::labels::{ConnectionOutcome, TimeoutKind};
use super::last_client::LastClient;
use super::notices::Notices;
use super::upstream::UpstreamFamilies;

/// The series of one entry's clients. Free of look-ups; each count is one atomic operation.
#[derive(Debug)]
pub struct Clients {
    outcomes: [IntCounter; ConnectionOutcome::ALL.len()],
    timeouts: [IntCounter; TimeoutKind::ALL.len()],
    name: String,
    notices: Notices,
    last_client: LastClient,
    /// Client connections open now.
    pub connections: IntGauge,
    /// Client connections that were ended because their user was cut off.
    pub revoked: IntCounter,
}

impl Clients {
    /// The clients of one entry; every series exists, at 0, from here on.
    pub(super) fn of(families: &UpstreamFamilies, protocol: &str, name: &str) -> Self {
        Self {
            outcomes: array::from_fn(|at| {
                families.outcome(protocol, name, ConnectionOutcome::ALL[at])
            }),
            timeouts: array::from_fn(|at| families.timeout(name, TimeoutKind::ALL[at])),
            name: name.to_owned(),
            notices: Notices::default(),
            last_client: LastClient::default(),
            connections: families.open(protocol, name),
            revoked: families.revoked(protocol, name),
        }
    }

    /// Counts a client connection whose handshake is over.
    pub fn connection(&self, outcome: ConnectionOutcome) {
        self.outcomes[outcome as usize].inc();
    }

    /// Counts a timeout that fired.
    pub fn timeout(&self, kind: TimeoutKind) {
        self.timeouts[kind as usize].inc();
    }

    /// How often a timeout has fired.
    #[must_use]
    pub fn timeouts(&self, kind: TimeoutKind) -> u64 {
        self.timeouts[kind as usize].get()
    }

    /// How often any of them has.
    #[must_use]
    pub fn all_timeouts(&self) -> u64 {
        self.timeouts.iter().map(IntCounter::get).sum()
    }

    /// A client comes, or goes.
    pub fn seen(&self) {
        self.last_client.seen();
    }

    /// For how long no client has been connected or come; since the start, where none has come at all.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        if self.connections.get() > 0 {
            return Duration::ZERO;
        }
        self.last_client.ago()
    }

    /// Client connections that named a user, and all that asked to be served, since the start. What is no login is neither:
    /// cancel requests, and clients that went away or failed before they had said who they are.
    #[must_use]
    pub fn attribution(&self) -> (u64, u64) {
        let of = |outcome: ConnectionOutcome| self.outcomes[outcome as usize].get();
        let attributed = of(ConnectionOutcome::Accepted);
        let nobodys = of(ConnectionOutcome::Unattributed) + of(ConnectionOutcome::Rejected);
        (attributed, attributed + nobodys)
    }

    /// Tells of an event of this kind, with the entry's name and how many were left out before, unless one was told a
    /// moment ago.
    pub fn notice(&self, kind: &'static str, tell: impl FnOnce(&str, u64)) {
        if let Some(left_out) = self.notices.due(kind) {
            tell(&self.name, left_out);
        }
    }
}
