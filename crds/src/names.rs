//! Parsed newtypes: what a policy writes as text and the rest of the code uses as what it means.
//!
//! A value of these types has been parsed and is within its bounds; nobody parses it again.

mod duration;
mod event;
pub mod key_prefix;
pub mod objects;
mod quantity;
mod timestamp;

pub use duration::{
    Duration, DurationError, optional as optional_duration, plain as plain_duration,
};
pub use event::CriticalEvent;
pub use quantity::{Quantity, QuantityError};
pub use timestamp::{Timestamp, TimestampError};
