//! Admission: what the API server asks before it stores an object.

pub mod inject;
pub mod mutate;
pub mod review;
pub mod templates;
pub mod validate;
