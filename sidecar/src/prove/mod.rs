//! `prove`: a published suite that looks for what one user leaves to the next.
//!
//! ```text
//! kinds (data) ─┐
//! stage | endpoint → suite → cell (A plants, A leaves, B looks) → verdict → report → table | JSON
//! ```
//!
//! [`kind`] has the types of the tables under `kinds`; [`cell`] is one run, over `client`, whose steps and probes `act`
//! carries out; [`stage`] starts a sidecar of the
//! suite's own in this process, [`endpoint`] goes to any other pooler. May not live here: anything that a running sidecar uses.

mod act;
pub mod answer;
pub mod cell;
pub mod client;
pub mod endpoint;
pub mod kind;
pub mod kinds;
pub mod message;
pub mod report;
pub mod scenario;
pub mod shared;
pub mod stage;
pub mod suite;
pub mod table;
pub mod verdict;

use std::time::{SystemTime, UNIX_EPOCH};

use report::{FORMAT, KindReport, Report, Summary, Target};
use suite::{Doors, Scope, Suite, SuiteError};

/// Runs the suite against `doors`; `told` hears of every kind that is done.
///
/// # Errors
/// See [`SuiteError`].
pub async fn prove(
    doors: &Doors,
    target: Target,
    scope: &Scope,
    told: impl FnMut(&KindReport),
) -> Result<Report, SuiteError> {
    let begun = SystemTime::now().duration_since(UNIX_EPOCH);
    let (mut suite, server) = Suite::begin(doors, scope).await?;
    let kinds = suite.run(told).await;
    let shared = suite.shared().await;
    suite.end().await;
    let kinds = kinds?;
    let summary = Summary::of(&kinds);
    Ok(Report {
        format: FORMAT,
        tool: concat!("bulkhead-sidecar ", env!("CARGO_PKG_VERSION")).to_owned(),
        date: report::date(begun.map_or(0, |since| since.as_secs())),
        target,
        server,
        verdict: summary.outcome(),
        summary,
        kinds,
        shared,
    })
}
