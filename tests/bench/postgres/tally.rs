//! What has been counted in a window.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long each piece of work took that ended in the window.
#[derive(Default)]
pub(crate) struct Tally {
    counts: Cell<bool>,
    micros: RefCell<Vec<f32>>,
}

impl Tally {
    /// The window begins, or has ended.
    pub(crate) fn set(&self, begins: bool) {
        self.counts.set(begins);
    }

    /// A piece of work has ended that began then.
    pub(crate) fn note(&self, began: Instant) {
        if self.counts.get() {
            let took: Duration = began.elapsed();
            self.micros.borrow_mut().push(took.as_secs_f32() * 1e6);
        }
    }

    /// How many there were, and the quantiles in µs; none where nothing has ended.
    pub(crate) fn sum(&self) -> Value {
        let mut micros = self.micros.take();
        if micros.is_empty() {
            return json!({ "count": 0, "p50": null, "p99": null });
        }
        micros.sort_unstable_by(f32::total_cmp);
        let at = |part: f64| micros[((micros.len() - 1) as f64 * part) as usize];
        json!({ "count": micros.len(), "p50": at(0.5), "p99": at(0.99) })
    }
}
