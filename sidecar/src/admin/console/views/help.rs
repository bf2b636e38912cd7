//! `SHOW HELP`: what may be typed.

use super::super::columns::View;
use super::super::rows::Rows;

pub(super) fn rows(rows: &mut Rows) {
    for view in View::ALL {
        rows.push(0, || {
            vec![format!("SHOW {}", view.name()).into(), view.about().into()]
        });
    }
}
