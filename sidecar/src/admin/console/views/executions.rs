//! `SHOW EXECUTIONS`: what is under way for the databases' clients, then the application's last runs that were not completed.

use super::super::Console;
use super::super::rows::{Cell, Rows};
use crate::worker::Worker;

pub(super) fn gather(worker: &Worker, rows: &mut Rows) {
    worker.each_session(|handle| {
        let who = handle.badge.who();
        let (Some(who), Some((state, began))) = (&*who, handle.badge.work()) else {
            return;
        };
        let age = began.elapsed();
        // Before what has ended.
        let rank = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        rows.push(rank.saturating_add(1), || {
            vec![
                who.user().map(|user| user.as_str()).into(),
                (**who.upstream()).into(),
                Cell::Null,
                state.as_str().into(),
                age.into(),
                Cell::Null,
            ]
        });
    });
}

pub(super) fn add_unfinished(console: &Console, rows: &mut Rows) {
    for run in console.admin.metrics.unfinished_runs.snapshot() {
        rows.push(0, || {
            let run_id = (!run.run_id.is_empty()).then_some(run.run_id);
            vec![
                run.user_id.into(),
                run.upstream.into(),
                run_id.into(),
                run.outcome.as_str().into(),
                run.age.into(),
                run.ended.elapsed().into(),
            ]
        });
    }
}
