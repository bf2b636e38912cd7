//! What the sidecar tells the outside about itself: metrics for Prometheus and logs for a reader.
//!
//! Handles are resolved once, when a listener or an upstream starts; the hot path touches atomics and nothing else.
//! No user id, token, password or query text may enter this room as a label or a field.

mod audit;
mod certificates;
mod clients;
mod executions;
mod family;
mod inventory;
mod labels;
mod last_client;
mod logs;
mod memory;
mod metrics;
mod notices;
mod process;
mod resumes;
mod socket;
mod striped;
mod unfinished_runs;
mod upstream;

pub use audit::AuditMetrics;
pub use certificates::{CertificateEnd, CertificateUse};
pub use clients::Clients;
pub use inventory::{Applicant, Inventory, MAX_APPLICATIONS, OTHER_APPLICATIONS, Standing};
pub use labels::{
    ActionOutcome, AdminAction, Attribution, AuditEvent, BreakerScope, BreakerState,
    ConnectionOutcome, ErrorClass, RetirementReason, ServerState, SwitchOutcome, TimeoutKind,
    protocol_label,
};
pub use logs::{LogError, LogFormat, check_filter, start as start_logs};
pub use metrics::{CONTENT_TYPE, Metrics, MetricsError};
pub use notices::Notices;
pub use resumes::{ResumeOutcome, Resumes};
pub use socket::{
    EventOutcome, Initiator, MessageDirection, RelayOutcome, RenewalOutcome, SocketMetrics,
};
pub use striped::{StripedCounter, StripedGauge, StripedHistogram};
pub use unfinished_runs::{MOST_UNFINISHED, UnfinishedRun, UnfinishedRuns};
pub use upstream::UpstreamMetrics;
