//! `SHOW REVOCATIONS`: who is cut off.

use std::time::SystemTime;

use super::super::Console;
use super::super::rows::Rows;

pub(super) fn rows(console: &Console, rows: &mut Rows) {
    let (current, now) = (console.admin.revocations.current(), SystemTime::now());
    for one in current.list().revocations() {
        if one.expires_at.is_some_and(|end| end.get() <= now) {
            continue;
        }
        rows.push(0, || {
            vec![
                one.name.as_str().into(),
                one.user.as_str().into(),
                one.not_before.to_string().into(),
                one.expires_at.map(|end| end.to_string()).into(),
                one.reason.clone().into(),
            ]
        });
    }
}
