//! `SHOW BREAKERS`: an upstream's first, then those of its users.

use tokio::time::Instant;

use super::super::rows::{Cell, Rows};
use crate::worker::Worker;

pub(super) fn gather(worker: &Worker, rows: &mut Rows) {
    let now = Instant::now();
    for entry in worker.entries() {
        let name = std::sync::Arc::clone(&entry.force_now().name);
        // All workers share it.
        if worker.index == 0 {
            rows.push(1, || {
                vec![
                    (*name).into(),
                    "upstream".into(),
                    Cell::Null,
                    entry.breaker.state().as_str().into(),
                    entry.breaker.failures().into(),
                    entry.breaker.open_for(now).into(),
                ]
            });
        }
        for breaker in entry.user_breakers.rows(now) {
            rows.push(0, || {
                vec![
                    (*name).into(),
                    "user".into(),
                    breaker.user.as_str().into(),
                    breaker.state.as_str().into(),
                    breaker.failures.into(),
                    breaker.open_for.into(),
                ]
            });
        }
    }
}
