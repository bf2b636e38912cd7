//! Who is calling: from a token or a bare id to a user context, or to a refusal that says what is wrong.
//!
//! ```text
//! Presented → Verifier ─ cache ─────────────────────→ revoked? → UserContext
//!               │  └──── token → authority ─ keys → claims ──────↑
//!               │                    └ inline │ Secret │ endpoint ← fetch
//!               └ Rejection (reason, message, hint)
//! UserContext → Issuer → context token, which every Verifier of the namespace takes
//! ```
//!
//! Lives here: everything that decides whether a client is who it says. Nothing outside can make a [`UserContext`]. May not
//! live here: a wire protocol, and what the policy's mode does with a refusal.

mod authority;
mod cache;
mod claims;
mod endpoint;
mod fetch;
mod issue;
mod jwk;
mod keys;
mod live;
mod placeholder;
mod rejection;
mod revocation;
mod signing;
mod token;
mod user;
mod verifier;

pub use authority::IdentityError;
pub use issue::Issuer;
pub use keys::JwksError;
pub use live::LiveSockets;
pub use placeholder::is_placeholder;
pub use rejection::{Rejection, RejectionReason};
pub use revocation::{InForce, Revocations};
pub use signing::{NoRandomness, SigningKeyError};
pub use user::{IdError, UserContext, UserId};
pub use verifier::{Presented, Verifier, VerifyOutcome};

#[cfg(test)]
mod tests;
