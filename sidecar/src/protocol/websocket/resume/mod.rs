//! Sessions that survive their connection.
//!
//! - `keys`: the keys that the pods of a namespace share, and the one of this process.
//! - `token`: what a client brings back to be recognised by.

mod keys;
mod token;

pub use keys::{ResumeKeys, ResumeKeysError};
pub use token::{PodAddress, Sealer, SessionId, SessionToken, TokenError};
