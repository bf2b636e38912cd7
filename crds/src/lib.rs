//! The `IsolationPolicy` kind, its validation, and its resolution to an effective policy.

pub mod effective;
pub mod kinds;
pub mod names;
