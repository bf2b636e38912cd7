//! What work says of its user where nothing proves it: an SQL comment, or the application's own name for itself.
//!
//! Lives here: reading both, in place, which is pure, and [`Counted`], by which a connection counts itself in the inventory. What is read is a *claim*: it is counted, so that a migration sees who is left, and nothing
//! else ever follows from it. Who a client is, is decided in [`crate::identity`] alone.

pub mod comment;
mod counted;
pub mod name;

pub use counted::{Counted, of_rejection};

use crate::identity::{UserId, is_placeholder};
use crate::telemetry::Attribution;

/// What comes of an id that is claimed: of somebody, of nobody, or none that could be an id at all.
#[must_use]
pub fn of_id(id: &str) -> Attribution {
    if !UserId::is_valid(id) {
        // Where an empty value names nobody, so does a missing one.
        if id.is_empty() {
            return Attribution::Placeholder;
        }
        return Attribution::Unattributed;
    }
    if is_placeholder(id) {
        Attribution::Placeholder
    } else {
        Attribution::Claimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_somebodys_nobodys_or_none() {
        for (id, expected) in [
            ("alice", Attribution::Claimed),
            ("o'hara", Attribution::Claimed),
            ("42", Attribution::Claimed),
            ("null", Attribution::Placeholder),
            ("${user_id}", Attribution::Placeholder),
            ("", Attribution::Placeholder),
            ("al\0ice", Attribution::Unattributed),
            ("alice\n", Attribution::Unattributed),
        ] {
            assert_eq!(of_id(id), expected, "{id:?}");
        }
        assert_eq!(of_id(&"a".repeat(257)), Attribution::Unattributed);
    }
}
