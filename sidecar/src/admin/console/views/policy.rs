//! `SHOW POLICY`: the policy in force, with where its values come from.

use bulkhead_crds::explain;

use super::super::Console;
use super::super::rows::Rows;

pub(super) fn rows(console: &Console, rows: &mut Rows) {
    let revision = console.admin.store.current();
    for field in explain(&revision.policy) {
        rows.push(0, || {
            vec![
                field.path.into(),
                field.value.into(),
                field.origin.to_string().into(),
            ]
        });
    }
}
