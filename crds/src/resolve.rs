//! From a policy and the name of an environment to an effective policy that is sound: judged as it is written, assembled, and judged as
//! a whole. Beside it, what an effective policy says in rows for people.
//!
//! Pure: no I/O, no clock, no cluster.

mod explain;
mod render;

pub use explain::{ComparedRow, ExplainRow, compare, explain};
pub use render::{render, render_comparison};

pub use crate::assemble::unknown_environment;

use crate::assemble::assemble;
use crate::effective::EffectivePolicy;
use crate::findings::{Finding, Severity};
use crate::kinds::IsolationPolicy;
use crate::validate;

/// Resolves a policy for one environment: base + overlay + defaults. An environment without an overlay gets the base.
///
/// # Errors
/// Every error that [`mod@crate::validate`] finds in what this environment would get. Other environments and warnings play no part.
pub fn resolve(
    policy: &IsolationPolicy,
    environment: &str,
) -> Result<EffectivePolicy, Vec<Finding>> {
    let mut findings = validate::written(policy);
    findings.retain(|finding| finding.severity == Severity::Error);
    if !findings.is_empty() {
        return Err(findings);
    }
    let effective = assemble(policy, environment).map_err(|finding| vec![finding])?;
    let mut findings = validate::effective(&effective);
    findings.retain(|finding| finding.severity == Severity::Error);
    if findings.is_empty() {
        Ok(effective)
    } else {
        Err(findings)
    }
}
