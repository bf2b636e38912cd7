//! The audit trail's own series.

use std::array;

use bulkhead_crds::kinds::AuditDestination;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::labels::AuditEvent;
use super::upstream::register;

/// The audit trail's series. Those of records are there from the first moment on, at 0; whether the trail is up is said where there is one.
#[derive(Debug)]
pub struct AuditMetrics {
    records: [IntCounter; AuditEvent::ALL.len()],
    /// Records that could not be taken.
    pub dropped: IntCounter,
    up: IntGaugeVec,
}

impl AuditMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let records = register(
            registry,
            IntCounterVec::new(
                Opts::new(
                    "bulkhead_audit_records_total",
                    "Records of the audit trail, by what they tell of.",
                ),
                &["event"],
            )?,
        )?;
        Ok(Self {
            records: array::from_fn(|at| {
                records.with_label_values(&[AuditEvent::ALL[at].as_str()])
            }),
            dropped: register(
                registry,
                IntCounter::new(
                    "bulkhead_audit_records_dropped_total",
                    "Records that the audit trail could not take, because it could not be written or not fast enough.",
                )?,
            )?,
            up: register(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "bulkhead_audit_trail_up",
                        "1 while the audit trail can be written, else 0; absent where the policy has none.",
                    ),
                    &["destination"],
                )?,
            )?,
        })
    }

    /// Counts a record.
    pub fn record(&self, event: AuditEvent) {
        self.records[event as usize].inc();
    }

    /// How many records there were of an event.
    #[must_use]
    pub fn records(&self, event: AuditEvent) -> u64 {
        self.records[event as usize].get()
    }

    /// Whether the trail can be written, from now on.
    #[must_use]
    pub fn up(&self, destination: AuditDestination) -> IntGauge {
        self.up.with_label_values(&[match destination {
            AuditDestination::StandardOutput => "standard_output",
            AuditDestination::File => "file",
        }])
    }
}
