//! From a policy and the name of an environment to an effective policy: select the overlay, merge it over the base, fill the defaults,
//! and remember where each value came from.
//!
//! Pure: no I/O, no clock, no cluster. Bulkhead's defaults are values in `resolve/defaults.rs` and nowhere else.

mod defaults;
mod explain;
mod merge;
mod render;
mod select;

pub use explain::{ComparedRow, ExplainRow, compare, explain};
pub use render::{render, render_comparison};
pub use select::unknown_environment;

use crate::effective::{EffectivePolicy, Origin};
use crate::kinds::{IsolationPolicy, Selector};
use crate::validate::{self, Finding, Severity};

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

/// Resolves without judging the result.
///
/// # Errors
/// A result that lacks a required field, which only an overlay for an entry that the base does not have brings about.
pub(crate) fn assemble(
    policy: &IsolationPolicy,
    environment: &str,
) -> Result<EffectivePolicy, Finding> {
    let mut base = policy.spec.clone();
    base.selector = Selector::default();
    base.environments = None;
    let mut layers = merge::Layers::default();
    layers
        .lay(&base, &Origin::Base)
        .map_err(|error| incomplete(&error))?;
    if let Some(overlay) = select::overlay(policy, environment) {
        let mut overlay = overlay.clone();
        let origin = Origin::Environment(std::mem::take(&mut overlay.name));
        layers
            .lay(&overlay, &origin)
            .map_err(|error| incomplete(&error))?;
    }
    let (tree, origins) = layers.finish();
    let spec = serde_path_to_error::deserialize(tree).map_err(|error| Finding {
        path: format!("spec.environments[{environment}].{}", error.path()),
        ..incomplete(error.inner())
    })?;
    Ok(defaults::fill(policy, environment, spec, origins))
}

fn incomplete(error: &serde_json::Error) -> Finding {
    Finding {
        path: "spec".to_owned(),
        reason: "Incomplete",
        message: format!("the policy and its overlay do not make a whole: {error}"),
        severity: Severity::Error,
    }
}
