//! Why a pass did not come to its end.

/// What goes wrong in reconciling.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// A snapshot that cannot be written, which a policy that has been resolved never causes.
    #[error("a snapshot cannot be written: {0}")]
    Snapshot(#[from] bulkhead_crds::wire::WireError),
}
