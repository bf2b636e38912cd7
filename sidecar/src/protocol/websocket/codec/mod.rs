//! RFC 6455's frames: read where they are, written where they go. Pure, and nothing is copied or kept but a header's few bytes.
//!
//! - [`frame`]: one header, and the frames that the sidecar sends itself.
//! - [`walker`]: all that one side sends, frame by frame.
//! - [`mask`]: what a client's payloads are masked by.
//! - [`close`]: what a Close frame says.
//! - [`utf8`]: whether text messages are text.
//! - [`violation`]: what breaks the protocol or a limit.

mod close;
mod frame;
mod mask;
mod utf8;
mod violation;
mod walker;

pub use close::{Close, write_close, write_masked_close};
pub use frame::{
    Header, Opcode, parse_header, write_masked_pong, write_message, write_ping, write_pong,
};
pub use mask::apply_mask;
pub use utf8::Utf8;
pub use violation::Violation;
pub use walker::{Control, Payload, Sender, Step, Walker};
