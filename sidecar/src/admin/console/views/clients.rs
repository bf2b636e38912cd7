//! `SHOW CLIENTS`: every client that is connected, of databases and of WebSockets.

use super::super::rows::{Cell, Rows};
use super::owner_cells;
use crate::telemetry::protocol_label;
use crate::worker::Worker;
use crate::worker::badge::{Badge, Doing, Who};

pub(super) fn gather(worker: &Worker, rows: &mut Rows) {
    worker.each_session(|handle| {
        let badge = &handle.badge;
        if let Some(who) = &*badge.who() {
            rows.push(importance(badge.doing()), || row(worker, badge, who));
        }
    });
}

const fn importance(doing: Doing) -> u64 {
    match doing {
        Doing::Waiting => 3,
        Doing::Active => 2,
        Doing::Holding => 1,
        Doing::Idle => 0,
    }
}

fn row(worker: &Worker, badge: &Badge, who: &Who) -> Vec<Cell> {
    let (owner, protocol, [database, role], doing) = match who {
        Who::Client { factory, .. } => {
            let key = &factory.key;
            let names = [Cell::from(&*key.database), Cell::from(&*key.role)];
            (
                owner_cells(&key.owner),
                worker
                    .entry(who.upstream())
                    .map(|entry| protocol_label(entry.force_now().settings.protocol)),
                names,
                badge.doing().as_str(),
            )
        }
        Who::Socket { user, .. } => {
            let owner = match user {
                Some(user) => [user.as_str().into(), "user".into()],
                None => [Cell::Null, "unattributed".into()],
            };
            (owner, Some("websocket"), [Cell::Null, Cell::Null], "open")
        }
    };
    let [user, owner] = owner;
    vec![
        user,
        owner,
        protocol.into(),
        (**who.upstream()).into(),
        database,
        role,
        who.application().into(),
        worker.index.into(),
        doing.into(),
        badge.server().map(i64::from).into(),
        badge.since().map(|since| since.elapsed()).into(),
    ]
}
