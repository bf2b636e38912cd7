//! How many bytes one user's clients keep together, on the worker where the user lives.
//!
//! Of what is kept for as long as a client likes: prepared statements, named and unnamed. What is on its way is bounded where it
//! flows, by not reading a side while the other has not taken what came before.

use std::cell::Cell;

/// The bytes of one user.
#[derive(Debug, Default)]
pub struct Ledger {
    held: Cell<usize>,
}

impl Ledger {
    /// Bytes that are kept now.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held.get()
    }

    /// Something is kept in the place of something else; either may be nothing.
    pub fn exchange(&self, before: usize, now: usize) {
        let held = self.held.get().saturating_add(now);
        self.held.set(held.saturating_sub(before));
    }
}
