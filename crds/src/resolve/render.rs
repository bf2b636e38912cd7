//! Rows of an effective policy as plain text, for a terminal.

use std::fmt::Write as _;

use super::explain::{ComparedRow, ExplainRow};
use crate::effective::Origin;

/// The rows as a plain table, columns aligned, a line each.
#[must_use]
pub fn render(rows: &[ExplainRow]) -> String {
    let table: Vec<[String; 3]> = rows
        .iter()
        .map(|row| [row.path.clone(), row.value.clone(), row.origin.to_string()])
        .collect();
    lines(["FIELD", "VALUE", "ORIGIN"], &table)
}

/// The rows of two policies as a plain table under the names given; what differs is marked with `*` in front.
#[must_use]
pub fn render_comparison(left: &str, right: &str, rows: &[ComparedRow]) -> String {
    let cell = |side: &Option<(String, Origin)>| {
        side.as_ref().map_or_else(
            || "-".to_owned(),
            |(value, origin)| format!("{value} ({origin})"),
        )
    };
    let table: Vec<[String; 3]> = rows
        .iter()
        .map(|row| {
            let mark = if row.differs() { '*' } else { ' ' };
            [
                format!("{mark} {}", row.path),
                cell(&row.left),
                cell(&row.right),
            ]
        })
        .collect();
    lines(["  FIELD", left, right], &table)
}

fn lines(head: [&str; 3], table: &[[String; 3]]) -> String {
    let width = |column: usize| {
        let longest = table.iter().map(|row| row[column].chars().count()).max();
        longest.unwrap_or(0).max(head[column].chars().count())
    };
    let (first, second) = (width(0), width(1));
    let mut text = String::new();
    let rows =
        std::iter::once(head).chain(table.iter().map(|row| row.each_ref().map(String::as_str)));
    for [path, value, origin] in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{path:first$}  {value:second$}  {origin}");
    }
    text
}
