//! `SHOW SERVERS`: every connection to an upstream that is open.

use std::sync::Arc;

use super::super::rows::{Cell, Rows};
use super::owner_cells;
use crate::factory::register::Face;
use crate::telemetry::ServerState;
use crate::worker::Worker;

pub(super) fn gather(worker: &Worker, rows: &mut Rows) {
    for entry in worker.entries() {
        let (name, epoch) = (Arc::clone(&entry.force_now().name), entry.epoch());
        entry.servers.each(|face| {
            rows.push(importance(face.state()), || row(worker, &name, face, epoch));
        });
    }
}

const fn importance(state: ServerState) -> u64 {
    match state {
        ServerState::Active => 2,
        ServerState::Idle => 1,
        ServerState::Spare | ServerState::Connecting => 0,
    }
}

fn row(worker: &Worker, upstream: &str, face: &Face, epoch: u64) -> Vec<Cell> {
    let owner = face.owner();
    let [user, kind] = owner
        .as_ref()
        .map_or([Cell::Null, Cell::Null], |key| owner_cells(&key.owner));
    vec![
        user,
        kind,
        upstream.into(),
        (*face.opened.lane.database).into(),
        (*face.opened.lane.role).into(),
        worker.index.into(),
        face.state().as_str().into(),
        face.opened.process_id.map(i64::from).into(),
        face.opened.at.elapsed().into(),
        face.unused_since().map(|since| since.elapsed()).into(),
        (face.opened.epoch != epoch).into(),
    ]
}
