//! A real Kubernetes: its control plane alone, ready in seconds.
//!
//! ```text
//! programs       where etcd, kube-apiserver, kubectl … are: tests/cluster/build knows
//! credentials    an authority of the cluster's own, and what it signs
//! kubeconfig     how clients and the cluster's own parts are let in
//! control_plane  etcd, kube-apiserver, kube-controller-manager
//! commands       kubectl and helm against it
//! audit          what was asked of it, by whom
//! ```
//!
//! Everything listens on loopback or on an address of the cluster's own, asks for credentials, and ends with the test process.

mod audit;
mod commands;
mod control_plane;
mod credentials;
mod kubeconfig;
mod programs;

pub use audit::Asked;
pub use control_plane::{ControlPlane, Options};
pub use programs::program;
