//! Pure builders of what the operator writes: no client, no clock, the same objects for the same input.
//!
//! - [`admission`]: the policies and webhooks by which the API server lets pods in.
//! - `template`: what a policy does to the pods that it selects.

pub mod admission;
mod template;

pub use template::{Rendering, Serves, SidecarImage, resources, template};
