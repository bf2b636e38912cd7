//! Pure builders of what the operator writes: no client, no clock, the same objects for the same input.
//!
//! - [`admission`]: the policies and webhooks by which the API server lets pods in.
//! - [`taken`]: what the sidecar takes over of the application's ports.
//! - `network_policy`: what keeps clients from the ports behind those names.
//! - `template`: what a policy does to the pods that it selects.

pub mod admission;
pub mod taken;

mod network_policy;
mod template;

pub use network_policy::{closes, network_policy};
pub use template::{Rendering, Serves, SidecarImage, resources, template};
