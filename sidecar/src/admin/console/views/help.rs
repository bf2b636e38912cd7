//! `SHOW HELP`: what may be typed.

use super::super::columns::{ACTIONS, View};
use super::super::rows::Rows;

pub(super) fn rows(rows: &mut Rows) {
    for view in View::ALL {
        rows.push(0, || {
            vec![format!("SHOW {}", view.name()).into(), view.about().into()]
        });
    }
    for (action, meaning) in ACTIONS {
        rows.push(0, || vec![action.into(), meaning.into()]);
    }
}
