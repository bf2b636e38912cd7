//! What to do next about an application, from what it has come to. Pure.

use bulkhead_crds::kinds::{AttributionCounts, InventoryRow};

/// The next step, in a sentence that names the option and the page.
pub(super) fn step(row: &InventoryRow) -> String {
    let counts = decisive(row);
    if counts.total() == 0 {
        return "nothing has been counted yet".to_owned();
    }
    if counts.placeholder > 0 {
        return "it sends a placeholder where a user should be: find what was never filled in (docs/migration.md, Placeholders)"
            .to_owned();
    }
    if counts.unattributed > 0 {
        return format!(
            "name its user: {}, or at once {}",
            claim(&row.protocol),
            proof(&row.protocol)
        );
    }
    if counts.claimed > 0 {
        return format!("it knows its user: pass {}", proof(&row.protocol));
    }
    "ready for mode Enforce (docs/migration.md, The order of work)".to_owned()
}

/// Queries say it; of what has none, the connections do. A connection of a pool need not name anybody while its queries do.
fn decisive(row: &InventoryRow) -> &AttributionCounts {
    if row.queries.total() > 0 {
        &row.queries
    } else {
        &row.connections
    }
}

/// How a user is named for the inventory without being proven.
fn claim(protocol: &str) -> &'static str {
    match protocol {
        "postgresql" => {
            "by a comment /*bulkhead_user='ID'*/ or application_name 'NAME bulkhead:ID' (docs/migration.md, Comments)"
        }
        "redis" => "by CLIENT SETNAME bulkhead:ID (docs/migration.md, Names)",
        "clickhouse" => {
            "by a comment /*bulkhead_user='ID'*/ or log_comment=bulkhead:ID (docs/migration.md, Comments)"
        }
        _ => "by its login (docs/websockets.md)",
    }
}

/// How a user is proven.
fn proof(protocol: &str) -> &'static str {
    match protocol {
        "postgresql" => {
            "the token by options=-c bulkhead.context=TOKEN, or identity.inSql (docs/postgresql.md)"
        }
        "redis" => "the token by AUTH ROLE TOKEN (docs/redis.md)",
        "clickhouse" => "the token in the header X-Bulkhead-Context (docs/clickhouse.md)",
        _ => "the token with the request for the WebSocket (docs/websockets.md)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(protocol: &str, connections: [i64; 4], queries: [i64; 4]) -> InventoryRow {
        let counts = |[verified, claimed, placeholder, unattributed]: [i64; 4]| AttributionCounts {
            verified,
            claimed,
            placeholder,
            unattributed,
        };
        InventoryRow {
            protocol: protocol.to_owned(),
            connections: counts(connections),
            queries: counts(queries),
            ..InventoryRow::default()
        }
    }

    #[test]
    fn the_worst_of_what_was_counted_decides() {
        let none = [0; 4];
        for (protocol, connections, queries, says) in [
            ("postgresql", none, none, "nothing has been counted"),
            ("postgresql", [0, 0, 0, 9], [9, 9, 1, 9], "placeholder"),
            ("postgresql", none, [9, 9, 0, 1], "/*bulkhead_user='ID'*/"),
            ("redis", none, [0, 0, 0, 1], "CLIENT SETNAME bulkhead:ID"),
            ("clickhouse", none, [0, 0, 0, 1], "log_comment=bulkhead:ID"),
            ("websocket", [0, 0, 0, 1], none, "docs/websockets.md"),
            (
                "postgresql",
                [0, 0, 0, 9],
                [9, 1, 0, 0],
                "bulkhead.context=TOKEN",
            ),
            ("redis", none, [0, 1, 0, 0], "AUTH ROLE TOKEN"),
            ("clickhouse", none, [0, 1, 0, 0], "X-Bulkhead-Context"),
            // Connections that named nobody matter no more where their queries do.
            (
                "postgresql",
                [0, 0, 0, 9],
                [9, 0, 0, 0],
                "ready for mode Enforce",
            ),
            ("websocket", [9, 0, 0, 0], none, "ready for mode Enforce"),
        ] {
            let step = step(&row(protocol, connections, queries));
            assert!(step.contains(says), "{protocol} {queries:?}: {step}");
        }
    }
}
