//! What the leader makes of policies: objects, conditions, and what the sidecars have in force. The control plane is real and has no nodes,
//! so the tests stand in for the kubelet: they write pods' statuses, and start the real sidecar where a pod's would run.

mod closing;
mod conditions;
mod credentials;
mod evict;
mod inventory;
mod objects;
mod pods;
mod revocation;
mod takeover;
mod world;
