//! An inventory as a table, as JSON and as CSV.

use std::fmt::Write as _;

use bulkhead_crds::kinds::{AttributionCounts, IsolationPolicy};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::Row;
use super::next::step;

const COLUMNS: [&str; 14] = [
    "namespace",
    "policy",
    "workload",
    "protocol",
    "application",
    "connections_verified",
    "connections_claimed",
    "connections_placeholder",
    "connections_unattributed",
    "queries_verified",
    "queries_claimed",
    "queries_placeholder",
    "queries_unattributed",
    "next",
];

/// What stands where an application gives no name.
const NAMELESS: &str = "-";

/// The head of each policy, then a table of the rows with what to do below each.
pub(super) fn table(policies: &[IsolationPolicy], rows: &[Row<'_>]) -> String {
    let mut text = String::new();
    for policy in policies {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", head(policy));
    }
    if policies.is_empty() {
        text.push_str("there are no policies\n");
    }
    if rows.is_empty() {
        return text;
    }
    text.push('\n');
    let mut cells = vec![
        [
            "POLICY",
            "WORKLOAD",
            "PROTOCOL",
            "APPLICATION",
            "CONNECTIONS",
            "QUERIES",
            "VERIFIED",
            "CLAIMED",
            "PLACEHOLDER",
            "UNATTRIBUTED",
            "NEXT",
        ]
        .map(str::to_owned),
    ];
    cells.extend(rows.iter().map(|it| {
        let (connections, queries) = (&it.row.connections, &it.row.queries);
        // What has no queries is told by its connections.
        let told = if queries.total() > 0 {
            queries
        } else {
            connections
        };
        [
            format!("{}/{}", it.namespace, it.policy),
            it.row.workload.clone(),
            it.row.protocol.clone(),
            named(&it.row.application).to_owned(),
            connections.total().to_string(),
            queries.total().to_string(),
            told.verified.to_string(),
            told.claimed.to_string(),
            told.placeholder.to_string(),
            told.unattributed.to_string(),
            step(it.row),
        ]
    }));
    text + &aligned(&cells)
}

fn named(application: &str) -> &str {
    if application.is_empty() {
        NAMELESS
    } else {
        application
    }
}

/// One policy: its mode's last step, its ratios, and how much is left out.
fn head(policy: &IsolationPolicy) -> String {
    let name = format!(
        "{}/{}",
        policy.namespace().unwrap_or_default(),
        policy.name_any()
    );
    let status = policy.status.as_ref();
    let compliance = status.and_then(|it| it.compliance.as_ref());
    let ratio = |ratio: Option<&String>| ratio.map_or("-", String::as_str).to_owned();
    let connections = ratio(compliance.and_then(|it| it.ratio.as_ref()));
    let queries = compliance.and_then(|it| it.queries.as_ref());
    let queries = ratio(queries.and_then(|it| it.ratio.as_ref()));
    let steps = compliance.and_then(|it| it.history.as_ref());
    let mode = steps
        .and_then(|it| it.last())
        .map(|step| step.mode.to_string());
    let mut head = format!(
        "{name}: {} of connections and {} of queries have named their user",
        connections, queries
    );
    if let Some(mode) = mode {
        let _ = write!(head, ", mode {mode}");
    }
    match status.and_then(|it| it.inventory.as_ref()) {
        Some(inventory) => {
            let _ = write!(head, ", counted at {}", inventory.time);
            if inventory.truncated > 0 {
                let _ = write!(head, "; {} more rows are left out", inventory.truncated);
            }
        }
        None => head.push_str(
            "; it has no inventory: one is taken in mode Audit alone, from the first connection on",
        ),
    }
    head
}

/// Columns of equal width; the last one goes as far as it likes.
fn aligned<const N: usize>(cells: &[[String; N]]) -> String {
    let width = |column: usize| {
        let widths = cells.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in cells {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    text
}

/// One object: the policies with their compliance and its history, and the rows.
pub(super) fn json(
    policies: &[IsolationPolicy],
    rows: &[Row<'_>],
) -> Result<String, serde_json::Error> {
    let policies: Vec<Value> = policies
        .iter()
        .map(|policy| {
            let status = policy.status.as_ref();
            let inventory = status.and_then(|it| it.inventory.as_ref());
            json!({
                "namespace": policy.namespace(), "policy": policy.name_any(),
                "compliance": status.and_then(|it| it.compliance.as_ref()),
                "counted": inventory.map(|it| &it.time),
                "truncated": inventory.map(|it| it.truncated),
            })
        })
        .collect();
    let rows: Vec<Value> = rows
        .iter()
        .map(|it| {
            json!({
                "namespace": it.namespace, "policy": it.policy, "workload": it.row.workload,
                "protocol": it.row.protocol, "application": it.row.application,
                "connections": it.row.connections, "queries": it.row.queries, "next": step(it.row),
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&json!({"policies": policies, "rows": rows}))? + "\n")
}

/// A line for the columns' names, and one for each row (RFC 4180).
pub(super) fn csv(rows: &[Row<'_>]) -> String {
    let mut text = line(&COLUMNS.map(str::to_owned));
    for it in rows {
        let numbers = |of: &AttributionCounts| {
            [of.verified, of.claimed, of.placeholder, of.unattributed]
                .map(|count| count.to_string())
        };
        let texts = [
            &it.namespace,
            &it.policy,
            &it.row.workload,
            &it.row.protocol,
            &it.row.application,
        ];
        let mut fields: Vec<String> = texts.into_iter().map(|text| disarmed(text)).collect();
        fields.extend(numbers(&it.row.connections));
        fields.extend(numbers(&it.row.queries));
        fields.push(disarmed(&step(it.row)));
        text.push_str(&line(&fields));
    }
    text
}

fn line(fields: &[String]) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
    quoted.join(",") + "\r\n"
}

/// A field; in quotes where its commas, quotes, line ends or outer blanks would say something else.
fn quoted(field: &str) -> String {
    let is_plain = !field.contains([',', '"', '\r', '\n']) && field.trim() == field;
    if is_plain {
        return field.to_owned();
    }
    format!("\"{}\"", field.replace('"', "\"\""))
}

/// A text that a spreadsheet does not take for a formula: names come from whoever connects. What begins like one gets an apostrophe, which
/// spreadsheets show as the mark of a text and others as what it is.
fn disarmed(text: &str) -> String {
    let first = text.trim_start().chars().next();
    let begins = matches!(
        first,
        Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠')
    );
    // A tab or a line end would be cut off, and what is behind it would begin.
    if begins || text.starts_with(['\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_crds::kinds::InventoryRow;

    use super::*;

    fn lines(applications: &[&str]) -> Vec<String> {
        let rows: Vec<InventoryRow> = applications
            .iter()
            .map(|application| InventoryRow {
                workload: "deployment/web".to_owned(),
                protocol: "postgresql".to_owned(),
                application: (*application).to_owned(),
                ..InventoryRow::default()
            })
            .collect();
        let rows: Vec<Row<'_>> = rows
            .iter()
            .map(|row| Row {
                namespace: "chat".to_owned(),
                policy: "main".to_owned(),
                row,
            })
            .collect();
        csv(&rows)
            .split_terminator("\r\n")
            .skip(1)
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn csv_is_quoted_by_the_rfc_and_holds_no_formula() {
        for (application, field) in [
            ("web", "web"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            (" web ", "\" web \""),
            ("=1+1", "'=1+1"),
            (
                "=HYPERLINK(\"http://x\",\"y\")",
                "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"",
            ),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("\t=1", "'\t=1"),
            ("\tx", "'\tx"),
            ("＝1", "'＝1"),
            ("'=1", "'=1"),
            ("a=1", "a=1"),
        ] {
            let expected = format!(
                "chat,main,deployment/web,postgresql,{field},0,0,0,0,0,0,0,0,nothing has been counted yet"
            );
            assert_eq!(lines(&[application]), [expected], "{application:?}");
        }
        // A line end inside of quotes ends no record.
        assert_eq!(lines(&["a\r\nb"]).join("\r\n").matches('"').count(), 2);
    }
}
