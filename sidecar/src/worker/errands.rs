//! What a worker still has to do for server connections whose sessions have ended: a cancel on its way, a rollback that has not
//! been answered. A worker that ends before would leave statements running on the server that nobody waits for.

use std::cell::Cell;
use std::rc::Rc;

/// The errands of one worker.
#[derive(Debug, Default)]
pub struct Errands(Rc<Cell<usize>>);

/// One of them; dropping it ends it.
#[derive(Debug)]
pub struct Errand(Rc<Cell<usize>>);

impl Errands {
    /// One more.
    #[must_use]
    pub fn begin(&self) -> Errand {
        self.0.set(self.0.get() + 1);
        Errand(Rc::clone(&self.0))
    }

    /// Whether all are done.
    #[must_use]
    pub fn are_done(&self) -> bool {
        self.0.get() == 0
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_done_when_each_is() {
        let errands = Errands::default();
        let (one, other) = (errands.begin(), errands.begin());
        drop(one);
        assert!(!errands.are_done());
        drop(other);
        assert!(errands.are_done());
    }
}
