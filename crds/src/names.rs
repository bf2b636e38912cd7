//! Parsed newtypes: durations and quantities in Kubernetes' notation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A span of time in Kubernetes' notation (`1h30m`, `250ms`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// The span itself.
    #[must_use]
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}
