//! Pods on their way in: what the API server makes of them in CEL, what the engine in Rust makes of the same, and what the guard lets pass.
//!
//! Templates are made by hand, so that they have in them all that a template can have. The policies are the operator's own, installed by
//! the suite: no operator runs, and none is needed.

mod bystanders;
mod guard;
mod owned;
mod rendered;
mod restricted;
pub mod scene;
mod table;
pub mod templates;
