//! Why a pass did not come to its end.

/// What goes wrong in reconciling.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// A certificate that a policy issues.
    #[error("a certificate cannot be issued: {0}")]
    Certificate(#[from] crate::certificates::CertificateError),
    /// A key for context tokens.
    #[error("a key for context tokens cannot be made: {0}")]
    Key(#[from] super::credentials::ring::NoRandomness),
    /// A snapshot that cannot be written, which a policy that has been resolved never causes.
    #[error("a snapshot cannot be written: {0}")]
    Snapshot(#[from] bulkhead_crds::wire::WireError),
    /// A list of revocations that cannot be written, which none that has been made causes.
    #[error("a list of revocations cannot be written: {0}")]
    List(#[from] bulkhead_crds::revocations::ListError),
}
