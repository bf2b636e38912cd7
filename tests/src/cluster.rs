//! A real Kubernetes: its control plane alone, ready in seconds, or a whole node that runs pods.
//!
//! ```text
//! programs       where etcd, kube-apiserver, kubectl … are: tests/cluster/build knows
//! credentials    an authority of the cluster's own, and what it signs
//! parts          what each program is started with: arguments and configuration, pure
//! launch         a part as a process, with a log
//! access         how clients and the cluster's own parts are let in: kubeconfigs
//! ├─ control_plane   etcd, kube-apiserver, kube-controller-manager, on loopback
//! └─ node            those, kubelet, containerd, kube-proxy, scheduler and DNS, in namespaces of their own
//! client         what both are to a test: clients, kubectl, helm, namespaces
//! audit          what was asked of the API server, by whom
//! ```
//!
//! Everything listens on loopback or on an address of the cluster's own, asks for credentials, and ends with the test process.

mod access;
mod audit;
mod client;
mod commands;
mod control_plane;
mod credentials;
mod launch;
mod node;
mod parts;
mod programs;

use std::time::Duration;

pub use audit::Asked;
pub use client::Cluster;
pub use control_plane::{ControlPlane, Options};
pub use node::{Home, Node, Standing};
pub use programs::program;

/// The longest that a part may take to come up on a busy machine; it takes seconds on an idle one.
const READY: Duration = Duration::from_secs(90);
