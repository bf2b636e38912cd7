//! Why there is no trail, and why somebody is refused for it.

use thiserror::Error;

use super::chain::SHORTEST_KEY;
use crate::secrets::SecretError;

/// Why a trail cannot begin.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The key cannot be read.
    #[error("auditTrail.keySecretRef: {0}")]
    Secret(#[from] SecretError),
    /// The key could be guessed.
    #[error(
        "auditTrail.keySecretRef: secret {name}/{key} has {bytes} bytes, and a key has at least {SHORTEST_KEY}: openssl rand 32"
    )]
    ShortKey {
        /// The Secret.
        name: String,
        /// Its key.
        key: String,
        /// How many there are.
        bytes: usize,
    },
    /// The operating system gives no thread, no descriptor or no randomness.
    #[error("the audit trail has no writer: {0}")]
    System(#[from] std::io::Error),
}

/// The trail cannot be written, and the policy says that no new user context is accepted meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the audit trail cannot be written, and no new user context is accepted until it can")]
pub struct Unwritable;
