//! The parts of a policy put together for one environment: the overlay selected, merged over the base, the defaults filled in, and
//! remembered where each value came from.
//!
//! Pure: no I/O, no clock, no cluster. Bulkhead's defaults are values in `assemble/defaults.rs` and nowhere else. Whether the whole makes
//! sense is not judged here.

mod defaults;
mod hosts;
mod merge;
mod select;

pub use select::unknown_environment;

use crate::effective::{EffectivePolicy, Origin};
use crate::findings::{Finding, Severity};
use crate::kinds::{IsolationPolicy, Selector};

/// Assembles what an environment gets, without judging it.
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
    let (tree, mut origins) = layers.finish();
    let mut spec = serde_path_to_error::deserialize(tree).map_err(|error| Finding {
        path: format!("spec.environments[{environment}].{}", error.path()),
        ..incomplete(error.inner())
    })?;
    hosts::settle(&mut spec, &mut origins);
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
