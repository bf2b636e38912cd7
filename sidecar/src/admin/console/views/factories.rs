//! `SHOW FACTORIES`: what each owner may open towards each upstream, and what of it is in use.

use super::super::rows::{Cell, Rows};
use super::owner_cells;
use crate::factory::pool::Factory;
use crate::worker::Worker;

pub(super) fn gather(worker: &Worker, rows: &mut Rows) {
    worker.each_factory(|factory| {
        rows.push(factory.activity.transactions.get(), || row(worker, factory));
    });
}

fn row(worker: &Worker, factory: &Factory) -> Vec<Cell> {
    let (key, activity) = (&factory.key, &factory.activity);
    let [user, owner] = owner_cells(&key.owner);
    vec![
        user,
        owner,
        (*key.upstream).into(),
        (*key.database).into(),
        (*key.role).into(),
        worker.index.into(),
        factory.clients().into(),
        factory.connected().into(),
        factory.idle().into(),
        factory.waiting().into(),
        factory.max().into(),
        activity.transactions.get().into(),
        activity.errors.get().into(),
        activity.timeouts.get().into(),
        activity.last.get().elapsed().into(),
        activity.application_names().join(", ").into(),
    ]
}
