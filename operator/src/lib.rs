//! The operator: it turns policies into templates, snapshots and status, and admits nothing that would get around them.
//!
//! ```text
//!   IsolationPolicy ─ admission/validate ─▶ API server ─ index ─▶ reconcile: dereference, validate, resolve ─▶ build ─▶ publish ─▶ status
//!   Pod ─ admission (CEL on the API server, or admission/mutate here, or `inject` offline) ─ from one InjectionTemplate ─▶ Pod with the sidecar
//! ```
//!
//! - [`cli`]: what the binary can be asked to do.
//! - [`process`]: a run, from the first connection to the last answer, told what to do by [`settings`].
//! - [`lease`]: who leads, and the client that cannot write when that is not certain.
//! - [`certificates`]: what the webhooks' server shows, renewed with overlap.
//! - [`admission`]: what the API server asks before it stores an object.
//! - [`build`]: what the operator writes, built by pure functions.
//! - [`rights`]: what the operator must be allowed to do.
//! - [`install`]: what the leader puts into the API server, and keeps as it should be.
//! - [`server`]: the webhooks' server; [`health`], [`metrics`], [`logs`]: what a run says of itself.
//! - [`index`]: what is known of a namespace; [`reconcile`]: what the leader makes of it.
//! - [`findings`]: ways round a policy, in objects of Kubernetes; for the status and for `lint` alike.

pub mod admission;
pub mod build;
pub mod certificates;
pub mod cli;
pub mod findings;
pub mod health;
pub mod index;
pub mod install;
pub mod lease;
pub mod logs;
pub mod metrics;
pub mod process;
pub mod reconcile;
pub mod rights;
pub mod server;
pub mod settings;
