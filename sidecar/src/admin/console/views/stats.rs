//! `SHOW STATS`: the entries of the policy, from the metrics.

use bulkhead_crds::effective::EffectiveDatabase;

use super::super::Console;
use super::super::columns::View;
use super::super::rows::{Cell, Rows};
use crate::telemetry::{ServerState, protocol_label};

pub(super) fn rows(console: &Console, rows: &mut Rows) {
    let revision = console.admin.store.current();
    for database in &revision.policy.databases {
        rows.push(0, || of_database(console, database));
    }
    for socket in &revision.policy.web_sockets {
        rows.push(0, || of_socket(console, &socket.name));
    }
}

fn of_database(console: &Console, database: &EffectiveDatabase) -> Vec<Cell> {
    let metrics = console
        .admin
        .metrics
        .upstream(&database.name, database.protocol);
    let servers = |state| Cell::from(metrics.server_connections(state).get());
    vec![
        database.name.as_str().into(),
        protocol_label(database.protocol).into(),
        metrics.clients.connections.get().into(),
        metrics.factories.get().into(),
        servers(ServerState::Active),
        servers(ServerState::Idle),
        servers(ServerState::Spare),
        servers(ServerState::Connecting),
        database.pool.max_connections.into(),
        metrics.query_seconds.count().into(),
        metrics.query_seconds.total().into(),
        metrics.acquire_seconds.count().into(),
        metrics.acquire_seconds.total().into(),
        metrics.connect_seconds.count().into(),
        metrics.connect_seconds.total().into(),
        metrics.clients.all_timeouts().into(),
        metrics.errors().into(),
        metrics.evictions.get().into(),
        metrics.cross_user_handoffs.get().into(),
        console
            .process
            .steering(&database.name.as_str().into())
            .is_paused()
            .into(),
    ]
}

fn of_socket(console: &Console, name: &str) -> Vec<Cell> {
    let metrics = console.admin.metrics.socket(name);
    let columns = View::Stats.columns().iter();
    columns
        .map(|column| match column.name {
            "upstream" => name.into(),
            "protocol" => "websocket".into(),
            "clients" => metrics.clients.connections.get().into(),
            "timeouts" => metrics.clients.all_timeouts().into(),
            _ => Cell::Null,
        })
        .collect()
}
