//! What becomes of WebSocket sessions that survive their connection.

use std::array;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::labels::label;
use super::upstream::register;

label!(
    /// What became of a resume: `bulkhead_websocket_resumes_total{outcome}`.
    ResumeOutcome {
        /// The client has come back, and the session goes on.
        Resumed = "resumed",
        /// The client came too late, or to a session that is gone.
        Refused = "refused",
        /// The session ended while its client was away.
        Lost = "lost",
        /// The session goes on, but more was said than is kept: it will not survive its connection.
        GivenUp = "given_up",
    }
);

/// The families.
#[derive(Debug)]
pub(super) struct ResumeFamilies {
    outcomes: IntCounterVec,
    away: IntGaugeVec,
}

/// One entry's series.
#[derive(Debug)]
pub struct Resumes {
    outcomes: [IntCounter; ResumeOutcome::ALL.len()],
    /// Sessions whose client is away.
    pub away: IntGauge,
}

impl ResumeFamilies {
    /// Creates and registers the families.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let outcomes = Opts::new(
            "bulkhead_websocket_resumes_total",
            "WebSocket sessions that were to survive the loss of their connection, by what became of them.",
        );
        let away = Opts::new(
            "bulkhead_websocket_away_sessions",
            "WebSocket sessions whose client's connection is lost, and which wait for it to come back.",
        );
        Ok(Self {
            outcomes: register(
                registry,
                IntCounterVec::new(outcomes, &["upstream", "outcome"])?,
            )?,
            away: register(registry, IntGaugeVec::new(away, &["upstream"])?)?,
        })
    }

    /// The handles of one entry.
    pub(super) fn handles(&self, name: &str) -> Resumes {
        Resumes {
            outcomes: array::from_fn(|at| {
                let outcome = ResumeOutcome::ALL[at].as_str();
                self.outcomes.with_label_values(&[name, outcome])
            }),
            away: self.away.with_label_values(&[name]),
        }
    }
}

impl Resumes {
    /// Counts what became of a session.
    pub fn count(&self, outcome: ResumeOutcome) {
        self.outcomes[outcome as usize].inc();
    }
}
