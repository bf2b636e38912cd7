//! An explanation as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bulkhead_crds::resolve::{ExplainRow, explain, render};
use serde_json::{Value, json};

use super::choose::Explained;

/// The widest that a column is made; a longer value pushes its own line alone.
const WIDEST: usize = 44;

/// The head, then a table: one environment with origins, or several side by side with `*` before what differs.
pub(super) fn text(explained: &Explained) -> String {
    let mut text = format!(
        "{} in {}: policy {}\n",
        explained.object, explained.namespace, explained.policy
    );
    let names: Vec<&str> = explained
        .environments
        .iter()
        .map(|it| it.environment.as_str())
        .collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "environment {}, from {}",
        names.join(", "),
        explained.environment_from
    );
    for (name, why) in &explained.beaten {
        let _ = writeln!(
            text,
            "selected by {name} too, which does not have it: {why}"
        );
    }
    for note in &explained.notes {
        let _ = writeln!(text, "{note}");
    }
    text.push('\n');
    match explained.environments.as_slice() {
        [one] => text.push_str(&render(&explain(one))),
        _ => text.push_str(&beside(explained)),
    }
    text
}

/// A field in every environment, in the order of the first that has it.
struct Row {
    path: String,
    cells: Vec<Option<ExplainRow>>,
}

impl Row {
    fn differs(&self) -> bool {
        let values: Vec<_> = self
            .cells
            .iter()
            .map(|cell| cell.as_ref().map(|row| &row.value))
            .collect();
        values.windows(2).any(|two| two[0] != two[1])
    }
}

fn rows(explained: &Explained) -> Vec<Row> {
    let mut order: Vec<String> = Vec::new();
    let mut tables: Vec<BTreeMap<String, ExplainRow>> = Vec::new();
    for effective in &explained.environments {
        let rows = explain(effective);
        for row in &rows {
            if !order.contains(&row.path) {
                order.push(row.path.clone());
            }
        }
        tables.push(
            rows.into_iter()
                .map(|row| (row.path.clone(), row))
                .collect(),
        );
    }
    let row = |path: String| Row {
        cells: tables
            .iter()
            .map(|table| table.get(&path).cloned())
            .collect(),
        path,
    };
    order.into_iter().map(row).collect()
}

fn beside(explained: &Explained) -> String {
    let head = std::iter::once("  FIELD".to_owned()).chain(
        explained
            .environments
            .iter()
            .map(|it| it.environment.clone()),
    );
    let mut table: Vec<Vec<String>> = vec![head.collect()];
    for row in rows(explained) {
        let mark = if row.differs() { '*' } else { ' ' };
        let cells = row.cells.iter().map(|cell| {
            cell.as_ref().map_or_else(
                || "-".to_owned(),
                |row| format!("{} ({})", row.value, row.origin),
            )
        });
        table.push(
            std::iter::once(format!("{mark} {}", row.path))
                .chain(cells)
                .collect(),
        );
    }
    let columns = table.first().map_or(0, Vec::len);
    let width = |column: usize| {
        table
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).min(if column == 0 { usize::MAX } else { WIDEST }))
        .collect();
    let mut text = String::new();
    for row in &table {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    text
}

/// One object: the head, and every field with its value and origin in each environment.
pub(super) fn json(explained: &Explained) -> Result<String, serde_json::Error> {
    let names: Vec<&str> = explained
        .environments
        .iter()
        .map(|it| it.environment.as_str())
        .collect();
    let fields: Vec<Value> = rows(explained)
        .iter()
        .map(|row| {
            let cells = names.iter().zip(&row.cells).filter_map(|(name, cell)| {
                let cell = cell.as_ref()?;
                Some((
                    (*name).to_owned(),
                    json!({"value": cell.value, "origin": cell.origin.to_string()}),
                ))
            });
            let environments: serde_json::Map<String, Value> = cells.collect();
            json!({"path": row.path, "differs": row.differs(), "environments": environments})
        })
        .collect();
    let beaten: Vec<Value> = explained
        .beaten
        .iter()
        .map(|(name, why)| json!({"policy": name, "why": why}))
        .collect();
    let document = json!({
        "object": explained.object, "namespace": explained.namespace, "policy": explained.policy,
        "environments": names, "environmentFrom": explained.environment_from,
        "alsoSelectedBy": beaten, "notes": explained.notes, "fields": fields,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
