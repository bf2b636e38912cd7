//! `SHOW EXECUTIONS`: the application's last runs that were not completed.

use super::super::Console;
use super::super::rows::Rows;

pub(super) fn rows(console: &Console, rows: &mut Rows) {
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
