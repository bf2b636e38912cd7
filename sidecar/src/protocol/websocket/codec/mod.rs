//! RFC 6455's frames: read where they are, written where they go. Pure, and nothing is copied or kept but a header's few bytes.
//!
//! - [`frame`]: one header, and the frames that the sidecar sends itself.
//! - [`walker`]: all that one side sends, frame by frame.
//! - [`close`]: what a Close frame says.
//! - [`violation`]: what breaks the protocol or a limit.

mod close;
mod frame;
mod violation;
mod walker;

pub use close::{Close, write_close, write_masked_close};
pub use frame::{Header, Opcode, apply_mask, parse_header, write_ping};
pub use violation::Violation;
pub use walker::{Control, Sender, Step, Walker};
