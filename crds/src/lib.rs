//! The `IsolationPolicy` kind, its validation, and its resolution to an effective policy.

pub mod effective;
pub mod kinds;
pub mod load;
pub mod names;
pub mod resolve;
pub mod schema;
pub mod validate;
pub mod wire;

pub use kinds::IsolationPolicy;
pub use load::{LoadError, load};
pub use resolve::{compare, explain, resolve};
pub use validate::{Finding, Severity, validate};
