//! Pure builders of what the operator writes: no client, no clock.

pub mod admission;
