//! `SHOW INVENTORY`: which applications name their users, in mode `Audit`.

use super::super::Console;
use super::super::rows::Rows;
use crate::admin::{ApplicationRow, AttributionCounts};

pub(super) fn rows(console: &Console, rows: &mut Rows) {
    for row in ApplicationRow::all(&console.admin.metrics.inventory) {
        rows.push(0, || {
            let counts = |of: AttributionCounts| {
                [of.verified, of.claimed, of.placeholder, of.unattributed].map(Into::into)
            };
            let mut cells = vec![row.application.into(), row.protocol.into()];
            cells.extend(counts(row.connections));
            cells.extend(counts(row.queries));
            cells
        });
    }
}
