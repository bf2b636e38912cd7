//! The rows of the inventories of several policies.

use bulkhead_crds::kinds::{InventoryRow, IsolationPolicy};
use kube::ResourceExt as _;

/// A row, and whose it is.
pub(super) struct Row<'a> {
    pub(super) namespace: String,
    pub(super) policy: String,
    pub(super) row: &'a InventoryRow,
}

/// The rows of these policies, in their order; `nobodys`: only those in which something is nobody's.
pub(super) fn of(policies: &[IsolationPolicy], nobodys: bool) -> Vec<Row<'_>> {
    let rows = policies.iter().flat_map(|policy| {
        let inventory = policy.status.as_ref().and_then(|it| it.inventory.as_ref());
        let rows = inventory.into_iter().flat_map(|inventory| &inventory.rows);
        rows.map(|row| Row {
            namespace: policy.namespace().unwrap_or_default(),
            policy: policy.name_any(),
            row,
        })
    });
    rows.filter(|row| {
        !nobodys || row.row.connections.nobodys() > 0 || row.row.queries.nobodys() > 0
    })
    .collect()
}
