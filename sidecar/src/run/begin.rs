//! The revision to begin with: the policy as it is given, or the copy of the last one that was accepted. Blocking.

use std::sync::Arc;

use super::RunError;
use crate::cli::RunArgs;
use crate::force::Force;
use crate::policy::{Accepted, Diagnostic};
use crate::secrets::Secrets;
use crate::upstream::Resolver;

/// A first revision that has been built.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) accepted: Accepted,
    pub(super) force: Force,
    /// Why it is the copy.
    pub(super) refused: Option<Refused>,
}

/// A policy that was given and cannot be used.
#[derive(Debug)]
pub(super) struct Refused {
    /// Names what was read, for the watch.
    pub(super) mark: String,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Reads the policy and builds it. Where that fails and a copy was kept, the copy is built in its place: a container that
/// starts again must not be worse off than one that runs on.
///
/// # Errors
/// Why the policy that was given cannot be used; the copy, where there is one, cannot either.
pub(super) fn begin(
    args: &RunArgs,
    secrets: &Arc<Secrets>,
    resolver: &Resolver,
) -> Result<Beginning, RunError> {
    let reading = args.source().read();
    let built = reading
        .outcome
        .map_err(RunError::Policy)
        .and_then(|accepted| build(accepted, secrets, resolver));
    let error = match built {
        Ok((accepted, force)) => {
            return Ok(Beginning {
                accepted,
                force,
                refused: None,
            });
        }
        Err(error) => error,
    };
    let Some(copy) = args.accepted_copy().and_then(|copy| copy.load()) else {
        return Err(error);
    };
    let built = copy
        .map_err(RunError::Policy)
        .and_then(|accepted| build(accepted, secrets, resolver));
    match built {
        Ok((accepted, force)) => Ok(Beginning {
            accepted,
            force,
            refused: Some(Refused {
                mark: reading.mark,
                diagnostics: diagnostics_of(error),
            }),
        }),
        Err(of_copy) => {
            for found in diagnostics_of(of_copy) {
                tracing::warn!(
                    reason = found.reason,
                    "the copy of the last accepted policy cannot be used either: {}",
                    found.message
                );
            }
            Err(error)
        }
    }
}

fn build(
    accepted: Accepted,
    secrets: &Arc<Secrets>,
    resolver: &Resolver,
) -> Result<(Accepted, Force), RunError> {
    let policy = Arc::new(accepted.policy.clone());
    let force = Force::build(Arc::clone(&accepted.id), &policy, secrets, resolver, None)?;
    Ok((accepted, force))
}

fn diagnostics_of(error: RunError) -> Vec<Diagnostic> {
    match error {
        RunError::Policy(found) => found,
        other => vec![Diagnostic::of_file("CannotApply", other.to_string())],
    }
}
