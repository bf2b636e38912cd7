//! Sessions that survive their connection (`bulkhead.resume.v1`; docs/websockets.md has the protocol to the byte). Pure, but for the making of
//! keys and ids.
//!
//! - [`message`]: the control messages between the sidecar and a client that has opted in.
//! - `kept`: the application's messages, kept until the client has acknowledged them.
//! - `written`: how many of the client's messages the application has been given.
//! - `keys`: the keys that the pods of a namespace share, and the one of this process.
//! - `token`: what a client brings back to be recognised by.

mod kept;
mod keys;
pub mod message;
mod token;
mod written;

pub use kept::{Kept, MESSAGE_BYTES, WrongCount};
pub use keys::{ResumeKeys, ResumeKeysError};
pub use message::{FinalReason, LostReason, Received, Welcome};
pub use token::{PodAddress, Sealer, SessionId, SessionToken, TokenError};
pub use written::Written;
