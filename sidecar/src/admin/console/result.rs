//! An answer on the wire: the rows of a view with their types, or the tag of what was done.
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol", "Simple Query".

use super::columns::View;
use super::rows::Rows;
use crate::protocol::postgres::error_response::{ErrorResponse, Severity, SqlState};
use crate::protocol::postgres::message::{self, Column, CommandComplete, Format};

/// Appends a view's rows, with a notice before them where not all are shown.
pub(super) fn write_rows(view: View, rows: Rows, out: &mut Vec<u8>) {
    let seen = rows.seen();
    let rows = rows.into_sorted();
    if seen > rows.len() as u64 {
        let message = format!(
            "{} of {seen} rows are shown: {}",
            rows.len(),
            view.chosen_by()
        );
        ErrorResponse::new(Severity::Notice, SqlState::SUCCESS, message).write(out);
    }
    let columns: Vec<Column<'_>> = view
        .columns()
        .iter()
        .map(|column| Column {
            name: column.name.as_bytes(),
            kind: column.kind.wire(),
            format: Format::Text,
        })
        .collect();
    message::row_description(&columns, out);
    for row in &rows {
        debug_assert_eq!(row.len(), columns.len(), "SHOW {}", view.name());
        let values: Vec<_> = row.iter().map(super::rows::Cell::to_text).collect();
        message::data_row_of(&values, out);
    }
    done("SHOW", out);
}

/// Appends the end of a command.
pub(super) fn done(tag: &str, out: &mut Vec<u8>) {
    CommandComplete {
        tag: tag.as_bytes(),
    }
    .write(out);
}
