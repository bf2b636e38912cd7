//! `SHOW USERS`: who is connected, or has connections kept, over all entries.

use std::collections::HashMap;

use tokio::time::Instant;

use super::super::rows::{Cell, Rows};
use super::owner_cells;
use crate::factory::key::Owner;
use crate::factory::pool::Factory;
use crate::worker::Worker;

/// What one owner has on this worker, where everything of a user's is.
#[derive(Debug, Default)]
struct Totals {
    clients: u32,
    sockets: usize,
    factories: u32,
    servers: u32,
    idle: usize,
    waiting: usize,
    transactions: u64,
    errors: u64,
    timeouts: u64,
    last: Option<Instant>,
}

pub(super) fn gather(worker: &Worker, rows: &mut Rows) {
    let mut owners: HashMap<Owner, Totals> = HashMap::new();
    worker.each_factory(|factory| match owners.get_mut(&factory.key.owner) {
        Some(totals) => totals.add(factory),
        None => {
            let mut totals = Totals::default();
            totals.add(factory);
            owners.insert(factory.key.owner.clone(), totals);
        }
    });
    for entry in worker.socket_entries() {
        entry.each_user(|user, sockets| {
            let open = sockets.open();
            if open > 0 {
                owners.entry(Owner::User(user.clone())).or_default().sockets += open;
            }
        });
    }
    for (owner, totals) in owners {
        rows.push(totals.transactions, || totals.row(worker, &owner));
    }
}

impl Totals {
    fn add(&mut self, factory: &Factory) {
        let activity = &factory.activity;
        self.clients += factory.clients();
        self.factories += 1;
        self.servers += factory.connected();
        self.idle += factory.idle();
        self.waiting += factory.waiting();
        self.transactions += activity.transactions.get();
        self.errors += activity.errors.get();
        self.timeouts += activity.timeouts.get();
        self.last = self.last.max(Some(activity.last.get()));
    }

    fn row(&self, worker: &Worker, owner: &Owner) -> Vec<Cell> {
        let [user, kind] = owner_cells(owner);
        vec![
            user,
            kind,
            worker.index.into(),
            self.clients.into(),
            self.sockets.into(),
            self.factories.into(),
            self.servers.into(),
            self.idle.into(),
            self.waiting.into(),
            self.transactions.into(),
            self.errors.into(),
            self.timeouts.into(),
            self.last.map(|last| last.elapsed()).into(),
        ]
    }
}
