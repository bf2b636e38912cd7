//! What each program of a cluster is started with. These functions write configuration files and start nothing.

pub(super) mod api_server;
pub(super) mod containerd;
pub(super) mod controller_manager;
pub(super) mod dns;
pub(super) mod etcd;
pub(super) mod kubelet;
pub(super) mod proxy;
pub(super) mod scheduler;
