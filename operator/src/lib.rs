//! The operator: it turns policies into templates, snapshots and status, and admits nothing that would get around them.
//!
//! ```text
//!   IsolationPolicy ─ admission/validate ─▶ API server ─ index ─▶ reconcile: dereference, validate, resolve ─▶ build ─▶ publish ─▶ status
//!   Pod ─ admission (CEL on the API server, or admission/mutate here, or `inject` offline) ─ from one InjectionTemplate ─▶ Pod with the sidecar
//! ```
//!
//! - [`cli`]: what the binary can be asked to do.

pub mod cli;
